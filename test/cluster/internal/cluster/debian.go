package cluster

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// dependency is something that is not built here, because a distribution has it.
type dependency struct {
	name    string // of the Debian package
	present func() bool
}

func dependencies() []dependency {
	return []dependency{
		{"runc", inPath("runc")},
		{"iproute2", inPath("ip")},
		{"containernetworking-plugins", func() bool {
			_, err := os.Stat("/usr/lib/cni/bridge")
			return err == nil
		}},
		{"busybox-static", func() bool { return isStatic(busybox) }},
	}
}

func inPath(program string) func() bool {
	return func() bool {
		_, err := exec.LookPath(program)
		return err == nil
	}
}

// isStatic reports whether the file is a program that runs in an image without
// libraries.
func isStatic(name string) bool {
	file, err := elf.Open(name)
	if err != nil {
		return false
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}

func missing() []string {
	var names []string
	for _, d := range dependencies() {
		if !d.present() {
			names = append(names, d.name)
		}
	}
	return names
}

// installDependencies installs what is missing, where there is an apt-get.
func (c *Cluster) installDependencies(ctx context.Context) error {
	names := missing()
	if len(names) == 0 {
		return nil
	}
	list := strings.Join(names, " ")
	if !inPath("apt-get")() {
		return fmt.Errorf("this machine lacks what Debian packages as: %s", list)
	}
	c.say("installing %s", list)
	install := append([]string{"install", "-y", "--no-install-recommends"}, names...)
	err := aptGet(ctx, install...)
	if err != nil {
		// The usual reason: the lists of packages are older than the archive.
		if err = aptGet(ctx, "update"); err == nil {
			err = aptGet(ctx, install...)
		}
	}
	if err != nil {
		return fmt.Errorf("install %s: %w", list, err)
	}
	if names := missing(); len(names) > 0 {
		return errors.New("installed, and yet not there: " + strings.Join(names, " "))
	}
	return nil
}

func aptGet(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, output)
	}
	return nil
}
