package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"
)

var program = Image{
	Name:       "whyrestart.test/program:1",
	Entrypoint: []string{"/program"},
	Files: []File{
		{Path: "tmp/", Mode: 0o1777},
		{Path: "program", Mode: 0o755, Content: []byte("\x7fELF")},
		{Path: "bin/sh", Mode: 0o777, Link: "busybox"},
	},
}

func TestWriteIsWhatAnImporterReads(t *testing.T) {
	var archive bytes.Buffer
	if err := Write(&archive, program); err != nil {
		t.Fatal(err)
	}
	entries := read(t, &archive)

	var manifests []manifest
	if err := json.Unmarshal(entries["manifest.json"].content, &manifests); err != nil {
		t.Fatal(err)
	}
	if len(manifests) != 1 || manifests[0].RepoTags[0] != program.Name {
		t.Fatalf("manifest.json names %+v", manifests)
	}
	var c config
	if err := json.Unmarshal(entries[manifests[0].Config].content, &c); err != nil {
		t.Fatalf("the manifest names the configuration %q: %v", manifests[0].Config, err)
	}
	layer := entries[manifests[0].Layers[0]].content
	if got, want := c.RootFS.DiffIDs[0], "sha256:"+digest(layer); got != want {
		t.Errorf("diff id %s, want the digest of the layer %s", got, want)
	}
	if c.Config.Entrypoint[0] != "/program" {
		t.Errorf("entrypoint %q", c.Config.Entrypoint)
	}

	files := read(t, bytes.NewReader(layer))
	if f := files["tmp/"]; f.header == nil || f.header.Typeflag != tar.TypeDir || f.header.Mode != 0o1777 {
		t.Errorf("tmp/ is %+v", f.header)
	}
	if f := files["bin/sh"]; f.header == nil || f.header.Typeflag != tar.TypeSymlink || f.header.Linkname != "busybox" {
		t.Errorf("bin/sh is %+v", f.header)
	}
	if got := string(files["program"].content); got != "\x7fELF" {
		t.Errorf("program holds %q", got)
	}
}

func TestWriteDoesNotDependOnTheOrderOfFiles(t *testing.T) {
	reversed := program
	reversed.Files = []File{program.Files[2], program.Files[1], program.Files[0]}

	var one, other bytes.Buffer
	if err := errors.Join(Write(&one, program), Write(&other, reversed)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), other.Bytes()) {
		t.Error("the same files in another order give another archive")
	}
}

type entry struct {
	header  *tar.Header
	content []byte
}

func read(t *testing.T, r io.Reader) map[string]entry {
	t.Helper()
	entries := map[string]entry{}
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		entries[header.Name] = entry{header, content}
	}
}
