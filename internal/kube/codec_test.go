package kube

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// serializers returns those for protobuf, of objects and of events.
func serializers(t testing.TB) (podSerializer, eventSerializer) {
	t.Helper()
	info, ok := runtime.SerializerInfoForMediaType(newCodecs(nil).SupportedMediaTypes(), mediaProtobuf)
	if !ok {
		t.Fatal("no protobuf")
	}
	object, ok := info.Serializer.(podSerializer)
	event, ok2 := info.StreamSerializer.Serializer.(eventSerializer)
	if !ok || !ok2 {
		t.Fatalf("serializers %T and %T", info.Serializer, info.StreamSerializer.Serializer)
	}
	return object, event
}

// bodies are what a server sends, each as one event and as one answer.
func bodies(t testing.TB) (events, objects [][]byte) {
	t.Helper()
	s := newAPIServer(t)
	info, ok := runtime.SerializerInfoForMediaType(s.codecs.SupportedMediaTypes(), mediaProtobuf)
	if !ok {
		t.Fatal("no protobuf")
	}
	list := &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "7", Continue: "next"}, Items: []corev1.Pod{*testPod("a"), *restarted(testPod("b"))}}
	for _, o := range []runtime.Object{testPod("a"), restarted(testPod("b")), list, &corev1.PodList{}, expired(), &corev1.ConfigMap{}} {
		objects = append(objects, s.encode(info, o))
		const header = 4 // the length of the frame
		events = append(events, s.frame(info, watch.Modified, o)[header:])
	}
	return events, objects
}

func sameAsStock(t *testing.T, what string, stock, ours runtime.Serializer, data []byte, into func() runtime.Object) {
	t.Helper()
	want, _, stockErr := stock.Decode(data, nil, into())
	got, _, err := ours.Decode(data, nil, into())
	if stockErr != nil {
		return // being more lenient does no harm
	}
	if err != nil {
		t.Fatalf("%s: refused what the stock serializer takes: %v", what, err)
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(pod{}, podList{})); d != "" {
		t.Errorf("%s (-stock +ours):\n%s", what, d)
	}
}

func none() runtime.Object  { return nil }
func event() runtime.Object { return new(metav1.WatchEvent) }

func TestCodecsEqualStock(t *testing.T) {
	object, stream := serializers(t)
	events, objects := bodies(t)
	for _, data := range objects {
		sameAsStock(t, "object", object.Serializer, object, data, none)
	}
	for _, data := range events {
		sameAsStock(t, "event", stream.Serializer, stream, data, event)
	}
}

// TestCodecsDoNotCopy proves that the way around the stock serializers is taken.
func TestCodecsDoNotCopy(t *testing.T) {
	_, stream := serializers(t)
	events, _ := bodies(t)
	data := events[0]
	var e metav1.WatchEvent
	if _, _, err := stream.Decode(data, nil, &e); err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(e.Object.Raw)
	for i := range data {
		data[i] ^= 0xff
	}
	if bytes.Equal(before, e.Object.Raw) {
		t.Error("the object was copied")
	}
}

func FuzzCodecs(f *testing.F) {
	object, stream := serializers(f)
	events, objects := bodies(f)
	for _, data := range append(events, objects...) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		sameAsStock(t, "object", object.Serializer, object, data, none)
		sameAsStock(t, "event", stream.Serializer, stream, data, event)
	})
}
