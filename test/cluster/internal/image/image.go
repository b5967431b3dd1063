// Package image writes container images as archives, without a registry and
// without a builder: what goes in is a list of files, what comes out is what
// "ctr images import" reads.
//
// The same files give the same bytes, so that an image has the same digest on
// every machine that builds it.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"
)

// Image is an image of one layer.
type Image struct {
	Name       string // with a tag: "whyrestart.test/pause:1"
	Entrypoint []string
	Cmd        []string
	User       string // by whom it runs; root where empty
	Files      []File
}

// File is an entry of the layer: a directory where Path ends with a slash, a
// symbolic link where Link is set, and a plain file otherwise.
type File struct {
	Path    string // relative to the root of the image; "tmp/" is a directory
	Mode    int64
	Content []byte
	Link    string
}

// config is the part of an image configuration that a runtime needs.
type config struct {
	Architecture string        `json:"architecture"`
	OS           string        `json:"os"`
	Config       containerSpec `json:"config"`
	RootFS       rootFS        `json:"rootfs"`
}

type containerSpec struct {
	User       string   `json:"User,omitempty"`
	Env        []string `json:"Env"`
	Entrypoint []string `json:"Entrypoint,omitempty"`
	Cmd        []string `json:"Cmd,omitempty"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

// manifest is an entry of manifest.json, as "docker save" writes it.
type manifest struct {
	Config   string   `json:"Config"`
	RepoTags []string `json:"RepoTags"`
	Layers   []string `json:"Layers"`
}

// Write writes the archive of the image.
func Write(w io.Writer, image Image) error {
	layer, err := layerOf(image.Files)
	if err != nil {
		return fmt.Errorf("write the layer of %s: %w", image.Name, err)
	}
	configJSON, err := json.Marshal(config{
		Architecture: runtime.GOARCH,
		OS:           "linux",
		Config: containerSpec{
			User:       image.User,
			Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Entrypoint: image.Entrypoint,
			Cmd:        image.Cmd,
		},
		RootFS: rootFS{Type: "layers", DiffIDs: []string{"sha256:" + digest(layer)}},
	})
	if err != nil {
		return fmt.Errorf("encode the configuration of %s: %w", image.Name, err)
	}
	configName := digest(configJSON) + ".json"
	manifestJSON, err := json.Marshal([]manifest{{
		Config:   configName,
		RepoTags: []string{image.Name},
		Layers:   []string{"layer.tar"},
	}})
	if err != nil {
		return fmt.Errorf("encode the manifest of %s: %w", image.Name, err)
	}

	archive := tar.NewWriter(w)
	for _, f := range []File{
		{Path: configName, Mode: 0o644, Content: configJSON},
		{Path: "layer.tar", Mode: 0o644, Content: layer},
		{Path: "manifest.json", Mode: 0o644, Content: manifestJSON},
	} {
		if err := add(archive, f); err != nil {
			return fmt.Errorf("write the archive of %s: %w", image.Name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("write the archive of %s: %w", image.Name, err)
	}
	return nil
}

func layerOf(files []File) ([]byte, error) {
	sorted := slices.SortedFunc(slices.Values(files), func(a, b File) int {
		return bytes.Compare([]byte(a.Path), []byte(b.Path))
	})
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, f := range sorted {
		if err := add(w, f); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return layer.Bytes(), nil
}

func add(w *tar.Writer, f File) error {
	header := &tar.Header{Name: f.Path, Mode: f.Mode, Format: tar.FormatUSTAR}
	switch {
	case f.Link != "":
		header.Typeflag, header.Linkname = tar.TypeSymlink, f.Link
	case f.Path != path.Clean(f.Path):
		header.Typeflag = tar.TypeDir
	default:
		header.Typeflag, header.Size = tar.TypeReg, int64(len(f.Content))
	}
	if err := w.WriteHeader(header); err != nil {
		return fmt.Errorf("add %s: %w", f.Path, err)
	}
	if _, err := w.Write(f.Content); err != nil {
		return fmt.Errorf("add %s: %w", f.Path, err)
	}
	return nil
}

func digest(b []byte) string {
	return fmt.Sprintf("%x", sha256.Sum256(b))
}
