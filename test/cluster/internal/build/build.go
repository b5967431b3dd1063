// Package build makes the programs of the test cluster from source and keeps
// them, so that only the first cluster on a machine waits for a compiler.
//
// A program is built again when something that it is made of has changed: the
// version of Go, the module files or the few sources of this module. The rest
// is pinned by the module files and checked against go.sum or the checksum
// database by the go command itself.
package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// The versions of what is built. That of Kubernetes has to agree with go.mod;
// a test sees to it.
const (
	kubernetesVersion = "v1.37.1"
	containerdVersion = "v2.4.2"
	kwokVersion       = "v0.8.0"
)

// every is the time between two lines about a build that takes long.
const every = 5 * time.Second

// Builder builds into a folder.
type Builder struct {
	Source   string    // the folder of the module github.com/whyrestart/whyrestart/test/cluster
	Cache    string    // the folder that programs are kept in
	Progress io.Writer // told what is being built and how long it takes
}

// Bin is the folder of the programs.
func (b *Builder) Bin() string { return filepath.Join(b.Cache, "bin") }

// program is something that the go command builds in one go.
type program struct {
	name    string
	what    string   // for the reader of the progress
	inputs  []string // files, relative to the source, that the result depends on
	outputs []string // in Bin
	args    []string // of the go command
	env     []string
}

func (b *Builder) programs() []program {
	const containerd = "github.com/containerd/containerd/v2/cmd/"
	return []program{
		{
			name:    "containerd",
			what:    "containerd " + containerdVersion,
			outputs: []string{"containerd", "containerd-shim-runc-v2", "ctr"},
			// Not a requirement of this module: containerd asks for newer
			// versions of what Kubernetes is made of, and the two would no
			// longer be tested as they were released.
			args: []string{
				"install", "-v", "-tags", "no_btrfs no_zfs no_devmapper no_aufs",
				"-ldflags", "-s -w -X github.com/containerd/containerd/v2/version.Version=" + containerdVersion,
				containerd + "containerd@" + containerdVersion,
				containerd + "containerd-shim-runc-v2@" + containerdVersion,
				containerd + "ctr@" + containerdVersion,
			},
			env: []string{"GOBIN=" + b.Bin(), "GOFLAGS="},
		},
		{
			name:    "node",
			what:    "Kubernetes " + kubernetesVersion + " and etcd",
			inputs:  []string{"go.mod", "go.sum", "cmd/node/main.go"},
			outputs: []string{"node"},
			args: []string{
				"build", "-v",
				"-ldflags", "-s -w -X k8s.io/component-base/version.gitVersion=" + kubernetesVersion,
				"-o", filepath.Join(b.Bin(), "node"), "./cmd/node",
			},
		},
		{
			name:    "images",
			what:    "the programs of the images",
			inputs:  []string{"pause/main.go", "misbehave/main.go", "misbehave/program.go", "misbehave/verbs.go"},
			outputs: []string{"pause", "misbehave"},
			// A panic prints paths of its source; they are not to be those of a machine.
			args: []string{"build", "-v", "-trimpath", "-ldflags", "-s -w", "-o", b.Bin() + "/", "./pause", "./misbehave"},
			env:  []string{"CGO_ENABLED=0"},
		},
	}
}

// kwok is not needed for the cluster to be up. Like containerd it is made of the versions
// that it was released with, which are older ones than those of this module.
func (b *Builder) kwok() program {
	return program{
		name:    "kwok",
		what:    "kwok " + kwokVersion,
		outputs: []string{"kwok"},
		args: []string{
			"install", "-v", "-trimpath", "-ldflags", "-s -w -X sigs.k8s.io/kwok/pkg/consts.Version=" + kwokVersion,
			"sigs.k8s.io/kwok/cmd/kwok@" + kwokVersion,
		},
		env: []string{"GOBIN=" + b.Bin(), "GOFLAGS="},
	}
}

// All builds every program of the cluster that is missing or out of date.
func (b *Builder) All(ctx context.Context) error { return b.build(ctx, b.programs()...) }

// Kwok builds kwok, if it is missing or out of date.
func (b *Builder) Kwok(ctx context.Context) error { return b.build(ctx, b.kwok()) }

func (b *Builder) build(ctx context.Context, programs ...program) error {
	if err := os.MkdirAll(b.Bin(), 0o755); err != nil {
		return fmt.Errorf("make the folder of the programs: %w", err)
	}
	for _, p := range programs {
		if err := b.one(ctx, p); err != nil {
			return fmt.Errorf("build %s: %w", p.what, err)
		}
	}
	return nil
}

func (b *Builder) one(ctx context.Context, p program) error {
	key, err := b.key(ctx, p)
	if err != nil {
		return err
	}
	keyFile := filepath.Join(b.Bin(), p.name+".key")
	if b.fresh(p, keyFile, key) {
		return nil
	}
	// A build that is interrupted must not be taken for the one before.
	if err := os.Remove(keyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := b.run(ctx, p); err != nil {
		return err
	}
	return os.WriteFile(keyFile, key, 0o644)
}

// fresh reports whether the outputs are there and were made from what key
// stands for.
func (b *Builder) fresh(p program, keyFile string, key []byte) bool {
	for _, output := range p.outputs {
		if _, err := os.Stat(filepath.Join(b.Bin(), output)); err != nil {
			return false
		}
	}
	built, err := os.ReadFile(keyFile)
	return err == nil && bytes.Equal(built, key)
}

// key is a digest of everything that the program is made of.
func (b *Builder) key(ctx context.Context, p program) ([]byte, error) {
	goVersion, err := b.goCommand(ctx, "env", "GOVERSION", "GOOS", "GOARCH").Output()
	if err != nil {
		return nil, fmt.Errorf("ask for the version of Go: %w", err)
	}
	digest := sha256.New()
	fmt.Fprintf(digest, "%s\n%q\n%q\n", goVersion, p.args, p.env)
	for _, input := range p.inputs {
		content, err := os.ReadFile(filepath.Join(b.Source, input))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(digest, "%s %d\n%s\n", input, len(content), content)
	}
	return fmt.Appendf(nil, "%x\n", digest.Sum(nil)), nil
}

func (b *Builder) goCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.Source
	return cmd
}

func (b *Builder) run(ctx context.Context, p program) error {
	var output tail
	cmd := b.goCommand(ctx, p.args...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = &output, &output

	start := time.Now()
	since := func() time.Duration { return time.Since(start).Round(time.Second) }
	fmt.Fprintf(b.Progress, "building %s\n", p.what)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			lines, last := output.state()
			fmt.Fprintf(b.Progress, "building %s: %s, %d packages so far, last %s\n", p.what, since(), lines, last)
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("%w\n%s", err, output.text())
			}
			fmt.Fprintf(b.Progress, "built %s in %s\n", p.what, since())
			return nil
		}
	}
}

// tail keeps the last lines that were written to it. "go build -v" writes one
// for each package that it compiles.
type tail struct {
	mu      sync.Mutex
	count   int
	last    []string
	partial []byte
}

// kept is the number of lines that tail keeps.
const kept = 40

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.partial = append(t.partial, p...)
	for {
		line, rest, ok := bytes.Cut(t.partial, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		t.count++
		t.last = append(t.last, string(line))
		t.last = t.last[max(0, len(t.last)-kept):]
		t.partial = rest
	}
}

// state returns the number of lines and the last one.
func (t *tail) state() (int, string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.last) == 0 {
		return 0, "none"
	}
	return t.count, t.last[len(t.last)-1]
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b bytes.Buffer
	for _, line := range t.last {
		b.WriteString(line + "\n")
	}
	return b.String()
}
