package cluster

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// kwokLabel marks the nodes that kwok is the kubelet of.
const kwokLabel = "whyrestart.test/node=kwok"

// kwokStages says what kwok does to nodes and pods.
//
//go:embed kwok.yaml
var kwokStages []byte

// StartKwok starts kwok unless it runs, building it where that takes it. Its nodes are
// Node objects that others create; the real node is none of its business.
func (c *Cluster) StartKwok(ctx context.Context) error {
	if pids, err := c.find(kwok); err != nil || len(pids) > 0 {
		return err
	}
	if err := c.builder.Kwok(ctx); err != nil {
		return err
	}
	if err := os.WriteFile(c.path("kwok.yaml"), kwokStages, 0o644); err != nil {
		return fmt.Errorf("write what kwok does: %w", err)
	}
	if err := os.Remove(c.log(kwok)); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("begin a log of kwok: %w", err)
	}
	if err := c.start(kwok); err != nil {
		return err
	}
	return c.await(ctx, kwok, func(context.Context) error {
		log, err := os.ReadFile(c.log(kwok))
		if err != nil {
			return err
		}
		if !strings.Contains(string(log), "Watch nodes") {
			return fmt.Errorf("%s does not say that it watches nodes", c.log(kwok))
		}
		return nil
	})
}

// StopKwok stops kwok.
func (c *Cluster) StopKwok(ctx context.Context) error { return c.stop(ctx, syscall.SIGTERM, kwok) }
