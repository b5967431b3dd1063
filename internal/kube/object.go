package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/slim"
)

// pod stands in for corev1.Pod in the scheme of a watch: it decodes to the
// detector's view, and keeps the whole of the bytes only where that view shows
// something that stopped.
type pod struct {
	slim slim.Pod
	// raw is a copy of the bytes, nil where they are not needed; the stream reuses the
	// buffer that it hands to Unmarshal.
	raw []byte
	// text tells that raw is JSON.
	text bool
	// packed tells that raw is compressed.
	packed bool
}

// podList stands in for corev1.PodList.
type podList struct {
	metav1.ListMeta `json:"metadata"`
	Items           []*pod `json:"items"`
	// foreign is how many pods of other shards the list had, which were left out.
	foreign int
}

var (
	_ runtime.Object            = (*pod)(nil)
	_ runtime.Object            = (*podList)(nil)
	_ metav1.ObjectMetaAccessor = (*pod)(nil)
	_ json.Unmarshaler          = (*pod)(nil)
)

// Reset and Unmarshal are what the protobuf serializer asks of an object
// (apimachinery pkg/runtime/serializer/protobuf/protobuf.go, unmarshaler).
func (p *pod) Reset() { *p = pod{} }

// Unmarshal reads a v1.Pod.
func (p *pod) Unmarshal(data []byte) error { return p.unmarshal(data, nil) }

// unmarshal reads a v1.Pod, and of one that is in another shard no more than is needed to tell.
func (p *pod) unmarshal(data []byte, of *sharded) error {
	if err := p.slim.Unmarshal(data); err != nil {
		return err
	}
	p.raw, p.text, p.packed = nil, false, false
	if of.keeps(p.slim.View.Namespace) && wantsFull(&p.slim.View) {
		p.raw = bytes.Clone(data)
	}
	return nil
}

// UnmarshalJSON reads a v1.Pod of a server that does not speak protobuf.
func (p *pod) UnmarshalJSON(data []byte) error {
	var full corev1.Pod
	if err := json.Unmarshal(data, &full); err != nil {
		return err
	}
	*p = pod{slim: slim.Pod{
		View:             detect.FromPod(&full),
		ResourceVersion:  full.ResourceVersion,
		InitialEventsEnd: full.Annotations[metav1.InitialEventsAnnotationKey] == "true",
	}}
	if wantsFull(&p.slim.View) {
		p.raw, p.text = bytes.Clone(data), true
	}
	return nil
}

// pack compresses the bytes of a pod that has to wait for others: a list is handed
// over at once, and in a large cluster what happened to its pods before is most of
// what it holds.
func (p *pod) pack() {
	if p.raw != nil && !p.packed {
		// A clone, since Encode reserves room for bytes that it cannot compress.
		p.raw, p.packed = bytes.Clone(s2.Encode(nil, p.raw)), true
	}
}

// wantsFull tells whether there may be something to find in v: a stop, as
// pipeline.Object.Full puts it, or a symptom of a stall.
func wantsFull(v *detect.Pod) bool {
	if v.Deleting || v.Rejected {
		return true
	}
	for i := range v.Containers {
		if c := &v.Containers[i]; c.State != nil || c.Last != nil {
			return true
		}
	}
	return len(detect.Symptoms(v)) > 0
}

func (p *pod) object() pipeline.Object {
	o := pipeline.Object{View: p.slim.View}
	if p.raw != nil {
		o.Full, o.Size = p.full, len(p.raw)
	}
	return o
}

// maxAnnotation bounds the annotations of a pod that is kept: what is asked of them are short
// marks, and they may have 256 KiB in all.
const maxAnnotation = 1 << 10

func (p *pod) full() (*corev1.Pod, error) {
	full := new(corev1.Pod)
	raw, err := p.raw, error(nil)
	if p.packed {
		raw, err = s2.Decode(nil, raw)
	}
	switch {
	case err != nil:
	case p.text:
		err = json.Unmarshal(raw, full)
	default:
		err = full.Unmarshal(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("decode pod %s/%s: %w", p.slim.View.Namespace, p.slim.View.Name, err)
	}
	full.TypeMeta = metav1.TypeMeta{} // which only JSON carries
	// Many pods wait for evidence at once: what nothing looks at does not wait with them.
	extract.KeepWrites(full)
	for k, v := range full.Annotations {
		if len(v) > maxAnnotation {
			delete(full.Annotations, k)
		}
	}
	return full, nil
}

// GetObjectMeta returns what a reflector asks for. It is made when asked for,
// since an ObjectMeta in every object would be larger than all the rest.
func (p *pod) GetObjectMeta() metav1.Object {
	m := &metav1.ObjectMeta{
		Namespace:       p.slim.View.Namespace,
		Name:            p.slim.View.Name,
		ResourceVersion: p.slim.ResourceVersion,
	}
	if p.slim.InitialEventsEnd {
		m.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	}
	return m
}

// GetObjectKind returns a kind that cannot be set: the type says it.
func (p *pod) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject copies what may be written to; the bytes never are.
func (p *pod) DeepCopyObject() runtime.Object {
	q := *p
	q.slim.View.Containers = slices.Clone(p.slim.View.Containers)
	return &q
}

// UnmarshalJSON reads a v1.PodList of a server that does not speak protobuf.
func (l *podList) UnmarshalJSON(data []byte) error {
	type plain podList // without this method
	if err := json.Unmarshal(data, (*plain)(l)); err != nil {
		return err
	}
	for _, p := range l.Items {
		if p == nil {
			return errors.New("decode list of pods: a pod is null")
		}
		p.pack()
	}
	return nil
}

// Field numbers of a PodList (k8s.io/api/core/v1/generated.proto).
const (
	listMetadata = 1
	listItems    = 2
)

// Reset empties the list.
func (l *podList) Reset() { *l = podList{} }

// Unmarshal reads a v1.PodList.
func (l *podList) Unmarshal(data []byte) error { return l.unmarshal(data, nil) }

func (l *podList) unmarshal(data []byte, of *sharded) error {
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return fmt.Errorf("decode list of pods: %w", protowire.ParseError(n))
		}
		data = data[n:]
		if typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, typ, data); n < 0 {
				return fmt.Errorf("decode list of pods: %w", protowire.ParseError(n))
			}
			data = data[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(data)
		if n < 0 {
			return fmt.Errorf("decode list of pods: %w", protowire.ParseError(n))
		}
		data = data[n:]
		switch num {
		case listMetadata:
			if err := l.ListMeta.Unmarshal(value); err != nil {
				return fmt.Errorf("decode list of pods: %w", err)
			}
		case listItems:
			p := new(pod)
			if err := p.unmarshal(value, of); err != nil {
				return err
			}
			if !of.keeps(p.slim.View.Namespace) {
				l.foreign++
				continue
			}
			p.pack()
			l.Items = append(l.Items, p)
		}
	}
	return nil
}

// sift leaves the pods of other shards out, where that was not done while reading.
func (l *podList) sift(of *sharded) {
	if of == nil {
		return
	}
	all := len(l.Items)
	l.Items = slices.DeleteFunc(l.Items, func(p *pod) bool { return !of.keeps(p.slim.View.Namespace) })
	l.foreign += all - len(l.Items)
}

// GetObjectKind returns a kind that cannot be set: the type says it.
func (l *podList) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject copies the list; its pods are never written to.
func (l *podList) DeepCopyObject() runtime.Object {
	c := &podList{Items: slices.Clone(l.Items), foreign: l.foreign}
	l.ListMeta.DeepCopyInto(&c.ListMeta)
	return c
}
