package dump

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/record"
)

const (
	// bundleFolder is the folder that everything in a bundle is in.
	bundleFolder = "whyrestart-capture"
	// captureFile is the one file of a bundle that holds no API objects.
	captureFile = "whyrestart-capture.json"
	// captureSchema names the form of that file.
	captureSchema = "whyrestart-capture/v1"
)

// capture is the content of captureFile.
type capture struct {
	Schema  string           `json:"schema"`
	At      time.Time        `json:"at"`
	Missing []record.Missing `json:"missing,omitempty"`
}

// bundle is a bundle in the making.
type bundle struct {
	redactor Redactor
	at       time.Time
	// files holds what makes the content of each file, by its name: one at a time is in memory.
	files map[string]func(*bytes.Buffer) error
}

// listKey is a file with a list of objects.
type listKey struct {
	kind      kindOf
	file      string // without its folder and ending
	namespace string
}

func (b *bundle) write(w io.Writer, c Contents) error {
	b.files = make(map[string]func(*bytes.Buffer) error)
	if err := b.objects(c.Objects); err != nil {
		return err
	}
	for _, log := range c.Logs {
		if err := b.log(log); err != nil {
			return err
		}
	}
	about := capture{Schema: captureSchema, At: b.at.UTC()}
	for _, m := range c.Missing {
		about.Missing = append(about.Missing, record.Missing{What: b.text(m.What), Why: b.text(m.Why)})
	}
	if err := b.file(captureFile, func(f *bytes.Buffer) error { return writeJSON(f, about) }); err != nil {
		return err
	}
	return b.pack(w)
}

// objects makes a list of each kind in each namespace.
func (b *bundle) objects(all []Object) error {
	lists := make(map[listKey][]Object)
	for _, o := range all {
		kind, file, err := bundleKind(o)
		if err != nil {
			return err
		}
		key := listKey{kind, file, o.GetNamespace()}
		lists[key] = append(lists[key], o)
	}
	for key, objects := range lists {
		name := path.Join(key.namespace, key.file+".json")
		if err := b.file(name, func(f *bytes.Buffer) error { return b.list(f, key.kind, objects) }); err != nil {
			return err
		}
	}
	return nil
}

// list writes a list as the API gives it.
func (b *bundle) list(f *bytes.Buffer, kind kindOf, objects []Object) error {
	slices.SortFunc(objects, func(x, y Object) int {
		return cmp.Or(compareNames(x, y), cmp.Compare(x.GetResourceVersion(), y.GetResourceVersion()))
	})
	version := "v1"
	if kind.group != "" {
		version = kind.group + "/v1"
	}
	items := make([]any, 0, len(objects))
	for _, o := range objects {
		item, err := b.clean(o)
		if err != nil {
			return err
		}
		items = append(items, item)
	}
	return writeJSON(f, map[string]any{"kind": kind.kind + "List", "apiVersion": version, "metadata": map[string]any{}, "items": items})
}

// bundleKind returns what an object is and the file that holds its kind.
func bundleKind(o Object) (kindOf, string, error) {
	switch o.(type) {
	case *corev1.Pod:
		return kindOf{kindPod, ""}, "pods", nil
	case *corev1.Event:
		return kindOf{"Event", ""}, "events", nil
	case *corev1.Node:
		return kindOf{kindNode, ""}, "nodes", nil
	case *corev1.Namespace:
		return kindOf{"Namespace", ""}, "namespaces", nil
	case *corev1.PersistentVolumeClaim:
		return kindOf{"PersistentVolumeClaim", ""}, "persistentvolumeclaims", nil
	case *corev1.ReplicationController:
		return kindOf{"ReplicationController", ""}, "replication-controllers", nil
	case *appsv1.ReplicaSet:
		return kindOf{kindReplicaSet, "apps"}, "replicasets", nil
	case *appsv1.Deployment:
		return kindOf{"Deployment", "apps"}, "deployments", nil
	case *appsv1.StatefulSet:
		return kindOf{"StatefulSet", "apps"}, "statefulsets", nil
	case *appsv1.DaemonSet:
		return kindOf{"DaemonSet", "apps"}, "daemonsets", nil
	case *appsv1.ControllerRevision:
		return kindOf{kindControllerRevision, "apps"}, "controllerrevisions", nil
	case *metav1.PartialObjectMetadata:
		return kindOf{kindConfigMap, ""}, "configmaps", nil
	case *batchv1.Job:
		return kindOf{kindJob, "batch"}, "jobs", nil
	case *batchv1.CronJob:
		return kindOf{"CronJob", "batch"}, "cronjobs", nil
	}
	return kindOf{}, "", fmt.Errorf("write a bundle: a %T is not of a kind that is read back", o)
}

// clean returns an object without its secrets.
func (b *bundle) clean(o Object) (any, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", o.GetNamespace(), o.GetName(), err)
	}
	// The list says what its items are, as in lists of the API.
	delete(fields, "kind")
	delete(fields, "apiVersion")
	out := b.fields("", fields)
	meta, _ := out["metadata"].(map[string]any)
	switch o := o.(type) {
	case *metav1.PartialObjectMetadata:
		delete(meta, "annotations")
	case *appsv1.ControllerRevision:
		// Its data is a template, and not data as that of a ConfigMap.
		var template map[string]any
		if json.Unmarshal(o.Data.Raw, &template) == nil {
			out["data"] = b.value("", template)
		}
	}
	if writes := extract.KeptWrites(o); len(writes) > 0 && meta != nil {
		for i := range writes {
			writes[i].Manager = b.text(writes[i].Manager)
		}
		meta["managedFields"] = writes
	}
	return out, nil
}

// log adds the file of one log.
func (b *bundle) log(log ContainerLog) error {
	name := log.Container + ".log"
	if log.Previous {
		name = log.Container + "-previous.log"
	}
	for _, part := range []string{log.Namespace, log.Pod, log.Container} {
		if part == "" || strings.Contains(part, "/") {
			return fmt.Errorf("write a bundle: container %q of pod %q in namespace %q cannot have a log", log.Container, log.Pod, log.Namespace)
		}
	}
	return b.file(path.Join(log.Namespace, log.Pod, name), func(f *bytes.Buffer) error {
		lines := log.Lines
		if log.Missing != "" && log.Missing != emptyLog {
			lines = []string{noLogPrefix + strings.ReplaceAll(log.Missing, "\n", " ")}
		}
		lines, _ = b.redactor.Lines(lines)
		for _, line := range lines {
			f.WriteString(line)
			f.WriteByte('\n')
		}
		return nil
	})
}

func writeJSON(f *bytes.Buffer, content any) error {
	e := json.NewEncoder(f)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(content)
}

// file adds a file. Its name is made of names that a cluster gave.
func (b *bundle) file(name string, content func(*bytes.Buffer) error) error {
	if !fs.ValidPath(name) || strings.Contains(name, `\`) || b.files[name] != nil {
		return fmt.Errorf("write a bundle: %q cannot be the name of a file in it", name)
	}
	b.files[name] = content
	return nil
}

// pack writes the files in the order of their names.
func (b *bundle) pack(w io.Writer) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	var f bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(b.files)) {
		f.Reset()
		if err := b.files[name](&f); err != nil {
			return fmt.Errorf("write a bundle: %s: %w", name, err)
		}
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: path.Join(bundleFolder, name), Mode: 0o644, Size: int64(f.Len()),
			ModTime: b.at.UTC().Truncate(time.Second), Format: tar.FormatPAX,
		}
		if err := t.WriteHeader(h); err != nil {
			return fmt.Errorf("write a bundle: %w", err)
		}
		if _, err := t.Write(f.Bytes()); err != nil {
			return fmt.Errorf("write a bundle: %w", err)
		}
	}
	if err := errors.Join(t.Close(), z.Close()); err != nil {
		return fmt.Errorf("write a bundle: %w", err)
	}
	return nil
}
