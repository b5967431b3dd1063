package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/whyrestart/whyrestart/test/cluster/internal/image"
)

// busybox is where Debian's busybox-static puts it.
const busybox = "/bin/busybox"

// images returns the images made of the programs that were built.
func (c *Cluster) images() ([]image.Image, error) {
	pause, err := os.ReadFile(c.program("pause"))
	if err != nil {
		return nil, err
	}
	misbehave, err := os.ReadFile(c.program("misbehave"))
	if err != nil {
		return nil, err
	}
	shell, err := shellFiles()
	if err != nil {
		return nil, err
	}
	tmp := image.File{Path: "tmp/", Mode: 0o1777}
	return []image.Image{
		{
			Name:       PauseImage,
			Entrypoint: []string{"/pause"},
			Files:      []image.File{{Path: "pause", Mode: 0o755, Content: pause}},
		},
		{
			Name:       MisbehaveImage,
			Entrypoint: []string{"/misbehave"},
			Files:      []image.File{tmp, {Path: "misbehave", Mode: 0o755, Content: misbehave}},
		},
		{
			// Its user is in no passwd file.
			Name:       StrangerImage,
			Entrypoint: []string{"/misbehave"},
			User:       "stranger",
			Files:      []image.File{tmp, {Path: "misbehave", Mode: 0o755, Content: misbehave}},
		},
		{
			Name:  BusyboxImage,
			Cmd:   []string{"sh"},
			Files: append(shell, tmp),
		},
	}, nil
}

// shellFiles are busybox and a link to it for each of its commands.
func shellFiles() ([]image.File, error) {
	content, err := os.ReadFile(busybox)
	if err != nil {
		return nil, fmt.Errorf("read the program of the image %s: %w", BusyboxImage, err)
	}
	list, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list the commands of %s: %w", busybox, err)
	}
	files := []image.File{
		{Path: "bin/busybox", Mode: 0o755, Content: content},
		{Path: "etc/passwd", Mode: 0o644, Content: []byte("root:x:0:0:root:/:/bin/sh\n")},
		{Path: "etc/group", Mode: 0o644, Content: []byte("root:x:0:\n")},
	}
	for _, name := range strings.Fields(string(list)) {
		if name != "busybox" {
			files = append(files, image.File{Path: "bin/" + name, Mode: 0o777, Link: "busybox"})
		}
	}
	return files, nil
}

// importImages hands the images to containerd.
func (c *Cluster) importImages(ctx context.Context) error {
	images, err := c.images()
	if err != nil {
		return fmt.Errorf("make the images: %w", err)
	}
	for _, i := range images {
		var archive bytes.Buffer
		if err := image.Write(&archive, i); err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, c.program("ctr"),
			"--address", c.Socket(), "--namespace", "k8s.io", "images", "import", "-")
		cmd.Stdin = &archive
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("import the image %s: %w: %s", i.Name, err, output)
		}
	}
	return nil
}
