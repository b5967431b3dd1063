package kube

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	restwatch "k8s.io/client-go/rest/watch"

	"github.com/whyrestart/whyrestart/internal/pipeline"
)

// largePod is about 8 KB on the wire, of which most is what no detector looks at.
func largePod() *corev1.Pod {
	p := testPod("checkout-6d4cf56db6-x7k2p")
	p.UID, p.ResourceVersion = "0b8a7c66-2a3c-4e43-9a43-6f7f5d0d7c11", "184467440"
	for i := range 60 {
		p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: fmt.Sprintf("SHOP_SETTING_%d", i), Value: strings.Repeat("v", 24)})
	}
	for _, manager := range []string{"kube-controller-manager", "kubelet"} {
		var fields metav1.FieldsV1
		fields.SetRawString("{" + strings.Repeat(`"f:metadata":{"f:annotations":{".":{},"f:checksum/config":{}}},`, 36) + `"f:x":{}}`)
		p.ManagedFields = append(p.ManagedFields, metav1.ManagedFieldsEntry{Manager: manager, FieldsV1: &fields})
	}
	p.Status.ContainerStatuses[0].ContainerID = "containerd://" + strings.Repeat("b", 64)
	return p
}

func fullCodecs(b *testing.B) serializer.CodecFactory {
	scheme := kruntime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		b.Fatal(err)
	}
	return serializer.NewCodecFactory(scheme)
}

// frame is one event as it goes over the wire.
func frame(b *testing.B, media string, p *corev1.Pod) []byte {
	s := &apiServer{codecs: fullCodecs(b)}
	info, ok := kruntime.SerializerInfoForMediaType(s.codecs.SupportedMediaTypes(), media)
	if !ok {
		b.Fatal("no serializer")
	}
	return s.frame(info, watch.Modified, p)
}

// repeating reads the same bytes for ever.
type repeating struct {
	data []byte
	rest []byte
}

func (r *repeating) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		r.rest = r.data
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *repeating) Close() error { return nil }

// BenchmarkDecodeEvent measures what a watch does with each event before anybody
// looks at it, in bytes already received: with the type of this package, and with
// the type that an informer uses.
func BenchmarkDecodeEvent(b *testing.B) {
	for _, media := range []string{mediaProtobuf, "application/json"} {
		for _, as := range []struct {
			name   string
			codecs kruntime.NegotiatedSerializer
		}{{"slim", newCodecs(nil)}, {"full", fullCodecs(b).WithoutConversion()}} {
			b.Run("media="+media[strings.LastIndexAny(media, "/.")+1:]+"/type="+as.name, func(b *testing.B) {
				data := frame(b, media, largePod())
				negotiator := kruntime.NewClientNegotiator(as.codecs, schema.GroupVersion{Version: "v1"})
				object, stream, framer, err := negotiator.StreamDecoder(media, nil)
				if err != nil {
					b.Fatal(err)
				}
				d := restwatch.NewDecoder(streaming.NewDecoder(framer.NewFrameReader(&repeating{data: data}), stream), object)
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := d.Decode(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// counter is a Sink that only counts.
type counter struct {
	n    int
	want int
	done context.CancelFunc
}

func (c *counter) Replace(string, []pipeline.Object, string) {}
func (c *counter) Delete(string, pipeline.Object)            {}
func (c *counter) Progress(string, string)                   {}
func (c *counter) Trouble(string, error)                     {}
func (c *counter) Apply(string, pipeline.Object) {
	if c.n++; c.n == c.want {
		c.done()
	}
}

// BenchmarkWatch measures the whole way from a server on the same machine, whose
// writing and both ends of the connection count as well, to the Sink.
func BenchmarkWatch(b *testing.B) {
	event := frame(b, mediaProtobuf, largePod())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", mediaProtobuf+";stream=watch")
		end := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}}
		s := &apiServer{codecs: fullCodecs(b)}
		info, _ := kruntime.SerializerInfoForMediaType(s.codecs.SupportedMediaTypes(), mediaProtobuf)
		if _, err := w.Write(s.frame(info, watch.Bookmark, end)); err != nil {
			return
		}
		for many := bytes.Repeat(event, 64); ; {
			if _, err := w.Write(many); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	w, err := NewWatcher(Options{Config: &rest.Config{Host: server.URL}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b.ReportAllocs()
	b.ResetTimer()
	if err := w.Run(ctx, &counter{want: b.N, done: cancel}); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(after.NumGC-before.NumGC)/float64(b.N)*1000, "gc/1000events")
}

// weigher is a Sink that weighs what is in memory when a list is complete.
type weigher struct {
	counter
	pods int
	heap uint64
}

func (w *weigher) Replace(_ string, pods []pipeline.Object, _ string) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	w.pods, w.heap = len(pods), m.HeapAlloc
	w.done()
}

// BenchmarkSync measures the first list of a large cluster, one pod in five of which
// has a container that stopped before: what it takes, and what it holds at its end.
func BenchmarkSync(b *testing.B) {
	const pods = 20_000
	for _, sync := range []string{"stream", "list"} {
		b.Run("sync="+sync, func(b *testing.B) {
			server := newAPIServer(b)
			server.noStreaming = sync == "list"
			healthy, ill := largePod(), restarted(largePod())
			for i := range pods {
				p := healthy
				if i%5 == 0 {
					p = ill
				}
				p.Name, p.UID = fmt.Sprintf("checkout-%05d", i), types.UID(fmt.Sprintf("0b8a7c66-2a3c-4e43-9a43-6f7f5d0%05d", i))
				server.set(p)
			}
			server.events = nil
			b.ResetTimer()
			var heap uint64
			for range b.N {
				var before runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				w := newWatcher(b, Options{Config: server.config()})
				ctx, cancel := context.WithCancel(b.Context())
				sink := &weigher{counter: counter{done: cancel}}
				if err := w.Run(ctx, sink); err != nil {
					b.Fatal(err)
				}
				if sink.pods != pods {
					b.Fatalf("%d pods", sink.pods)
				}
				heap = sink.heap - before.HeapAlloc
			}
			b.ReportMetric(float64(heap)/pods, "B/pod")
			b.ReportMetric(float64(pods)*float64(b.N)/b.Elapsed().Seconds(), "pods/s")
		})
	}
}

var _ io.ReadCloser = (*repeating)(nil)
