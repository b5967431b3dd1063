package kube

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// codecs decode what a watch of pods receives, in a private scheme in which a v1
// Pod is a pod.
//
// The stock protobuf serializers copy the bytes of each event twice, out of the
// WatchEvent and out of the envelope of the object, which costs more than decoding a
// pod does here. So the two messages around a pod are read in place; everything
// else, and whatever looks unusual, is left to the stock serializers.
type codecs struct {
	runtime.NegotiatedSerializer
	infos []runtime.SerializerInfo
}

// What belongs to another shard is not kept longer than it takes to see that.
func newCodecs(of *sharded) *codecs {
	v1 := schema.GroupVersion{Version: "v1"}
	scheme := runtime.NewScheme()
	scheme.AddKnownTypeWithName(v1.WithKind("Pod"), &pod{})
	scheme.AddKnownTypeWithName(v1.WithKind("PodList"), &podList{})
	metav1.AddToGroupVersion(scheme, v1)
	stock := serializer.NewCodecFactory(scheme).WithoutConversion()
	c := &codecs{NegotiatedSerializer: stock}
	for _, info := range stock.SupportedMediaTypes() {
		if info.MediaType == mediaProtobuf && info.StreamSerializer != nil {
			info.Serializer = podSerializer{info.Serializer, of}
			stream := *info.StreamSerializer
			stream.Serializer = eventSerializer{stream.Serializer}
			info.StreamSerializer = &stream
		}
		c.infos = append(c.infos, info)
	}
	return c
}

// SupportedMediaTypes returns the stock media types with the serializers of this file.
func (c *codecs) SupportedMediaTypes() []runtime.SerializerInfo { return c.infos }

// podSerializer decodes pods and lists of them from within their envelope.
type podSerializer struct {
	runtime.Serializer
	of *sharded
}

// Decode returns a *pod or *podList where data is one.
func (s podSerializer) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	kind, raw, ok := openEnvelope(data)
	if !ok || into != nil {
		return s.Serializer.Decode(data, defaults, into)
	}
	gvk := schema.GroupVersionKind{Version: "v1", Kind: kind}
	switch kind {
	case "Pod":
		p := new(pod)
		return p, &gvk, p.unmarshal(raw, s.of)
	case "PodList":
		l := new(podList)
		return l, &gvk, l.unmarshal(raw, s.of)
	default:
		return s.Serializer.Decode(data, defaults, into)
	}
}

// eventSerializer decodes a WatchEvent so that its object lies in the bytes of data,
// which the caller decodes before it reads on (client-go rest/watch/decoder.go).
type eventSerializer struct{ runtime.Serializer }

// Decode fills in a *metav1.WatchEvent.
func (s eventSerializer) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	e, ok := into.(*metav1.WatchEvent)
	if !ok || !openEvent(data, e) {
		return s.Serializer.Decode(data, defaults, into)
	}
	return e, &schema.GroupVersionKind{Version: "v1", Kind: "WatchEvent"}, nil
}

// Field numbers (apimachinery pkg/apis/meta/v1/generated.proto and
// pkg/runtime/generated.proto).
const (
	eventType, eventObject              = 1, 2
	extensionRaw                        = 1
	unknownTypeMeta, unknownRaw         = 1, 2
	typeMetaAPIVersion, typeMetaKind    = 1, 2
	unknownEncoding, unknownContentType = 3, 4
)

// protobufPrefix begins every protobuf body (apimachinery
// pkg/runtime/serializer/protobuf/protobuf.go).
const protobufPrefix = "k8s\x00"

// openEnvelope finds the kind and the bytes of a v1 object of the core group in its
// envelope (runtime.Unknown). ok is false for anything else.
func openEnvelope(data []byte) (kind string, raw []byte, ok bool) {
	body, ok := bytes.CutPrefix(data, []byte(protobufPrefix))
	if !ok {
		return "", nil, false
	}
	var version []byte
	ok = eachBytes(body, func(num protowire.Number, value []byte) bool {
		switch num {
		case unknownTypeMeta:
			return eachBytes(value, func(num protowire.Number, value []byte) bool {
				switch num {
				case typeMetaAPIVersion:
					version = value
				case typeMetaKind:
					switch string(value) {
					case "Pod":
						kind = "Pod"
					case "PodList":
						kind = "PodList"
					default:
						kind = ""
					}
				}
				return true
			})
		case unknownRaw:
			raw = value
		case unknownEncoding, unknownContentType:
			return len(value) == 0
		}
		return true
	})
	return kind, raw, ok && kind != "" && string(version) == "v1" && raw != nil
}

// openEvent reads a WatchEvent without copying its object.
func openEvent(data []byte, e *metav1.WatchEvent) bool {
	var kind string
	var raw []byte
	ok := eachBytes(data, func(num protowire.Number, value []byte) bool {
		switch num {
		case eventType:
			kind = eventName(value)
		case eventObject:
			return eachBytes(value, func(num protowire.Number, value []byte) bool {
				if num == extensionRaw {
					raw = value
				}
				return true
			})
		}
		return true
	})
	if !ok || kind == "" || raw == nil {
		return false
	}
	*e = metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: raw}}
	return true
}

// eventName returns a constant for the types of events that are known.
func eventName(b []byte) string {
	switch string(b) {
	case "ADDED":
		return "ADDED"
	case "MODIFIED":
		return "MODIFIED"
	case "DELETED":
		return "DELETED"
	case "BOOKMARK":
		return "BOOKMARK"
	case "ERROR":
		return "ERROR"
	}
	return ""
}

// eachBytes calls f for the fields of a message; false where f says so or a field is
// not length-delimited, which none of those here is.
func eachBytes(data []byte, f func(protowire.Number, []byte) bool) bool {
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 || typ != protowire.BytesType {
			return false
		}
		value, m := protowire.ConsumeBytes(data[n:])
		if m < 0 || !f(num, value) {
			return false
		}
		data = data[n+m:]
	}
	return true
}
