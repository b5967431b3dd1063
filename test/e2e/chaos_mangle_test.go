//go:build e2e

package e2e

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// mangler passes the events of a watch on otherwise than they came; each number is how
// likely that is for one event.
type mangler struct {
	again float64 // sent twice in a row
	late  float64 // sent once more, after some others
	swap  float64 // sent after the next one
	drop  float64 // not sent; never the first or the last of a pod

	mu     sync.Mutex
	random *rand.Rand
	did    int
}

func (m *mangler) chance(p float64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.random.Float64() >= p {
		return false
	}
	m.did++
	return true
}

// frame is an event as it is sent.
type frame struct {
	bytes []byte
	kind  string
	uid   types.UID
}

// maxFrame bounds what is taken for a frame.
const maxFrame = 16 << 20

func readFrame(r io.Reader) (frame, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(head)
	if n > maxFrame {
		return frame{}, fmt.Errorf("a frame of %d bytes", n)
	}
	f := frame{bytes: make([]byte, 4+int(n))}
	copy(f.bytes, head)
	if _, err := io.ReadFull(r, f.bytes[4:]); err != nil {
		return f, err
	}
	event := metav1.WatchEvent{}
	if err := event.Unmarshal(f.bytes[4:]); err != nil {
		return f, fmt.Errorf("read an event: %w", err)
	}
	f.kind = event.Type
	if f.kind == string(watch.Error) || f.kind == string(watch.Bookmark) || len(event.Object.Raw) < 4 {
		return f, nil
	}
	// The magic of the API's protobuf is four bytes; then a runtime.Unknown.
	object, pod := runtime.Unknown{}, metav1.PartialObjectMetadata{}
	if err := object.Unmarshal(event.Object.Raw[4:]); err != nil {
		return f, fmt.Errorf("read the envelope of a pod: %w", err)
	}
	if err := pod.Unmarshal(object.Raw); err != nil {
		return f, fmt.Errorf("read a pod: %w", err)
	}
	f.uid = pod.UID
	return f, nil
}

// pass copies a watch. What may come of it is what an API server could send that loses
// count: an older state after a newer one, but nothing of a pod after its deletion, and
// nothing across a bookmark, which says what is complete.
func (m *mangler) pass(from io.Reader, to io.Writer) error {
	in := bufio.NewReader(from)
	var held *frame
	var older []frame // to be sent once more
	send := func(f *frame) error {
		_, err := to.Write(f.bytes)
		return err
	}
	flush := func() error {
		if held == nil {
			return nil
		}
		f := held
		held = nil
		return send(f)
	}
	for {
		f, err := readFrame(in)
		if err != nil {
			return errors.Join(flush(), err)
		}
		if f.kind != string(watch.Modified) && f.kind != string(watch.Added) {
			if err := flush(); err != nil {
				return err
			}
			older = nil
			if err := send(&f); err != nil {
				return err
			}
			continue
		}
		modified := f.kind == string(watch.Modified)
		switch {
		case modified && m.chance(m.drop):
			continue
		case modified && held == nil && m.chance(m.swap):
			held = &f
			continue
		}
		if err := send(&f); err != nil {
			return err
		}
		if m.chance(m.again) {
			if err := send(&f); err != nil {
				return err
			}
		}
		if err := flush(); err != nil {
			return err
		}
		if len(older) > 0 && m.chance(0.5) {
			if err := send(&older[0]); err != nil {
				return err
			}
			older = older[1:]
		}
		if modified && m.chance(m.late) {
			older = append(older, f)
		}
	}
}

// mangling is a fault of the events of pods on their way to whyrestart.
func (k *chaos) mangling(name string, m *mangler) fault {
	return fault{group: "the watch", name: name, run: func() (int, string) {
		m.random = rand.New(rand.NewPCG(k.random.Uint64(), 2))
		config, err := clientcmd.BuildConfigFromFlags("", k.suite.program.kubeconfig)
		k.must(err, "read the kubeconfig")
		upstream, err := rest.TransportFor(config)
		k.must(err, "reach the API server")
		host, err := url.Parse(config.Host)
		k.must(err, "reach the API server")
		reverse := &httputil.ReverseProxy{
			Transport: upstream, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(host)
				r.Out.Header.Set("Accept-Encoding", "identity")
			},
			ModifyResponse: func(r *http.Response) error {
				if r.Request.URL.Path != "/api/v1/pods" || !strings.Contains(r.Header.Get("Content-Type"), "protobuf;stream=watch") {
					return nil
				}
				body := r.Body
				read, write := io.Pipe()
				go func() { _ = write.CloseWithError(m.pass(body, write)) }()
				r.Body = struct {
					io.Reader
					io.Closer
				}{read, closers{body, read}}
				return nil
			},
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
				http.Error(w, err.Error(), http.StatusBadGateway)
			},
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		k.must(err, "listen")
		server := &http.Server{Handler: reverse, ReadHeaderTimeout: time.Minute}
		go func() { _ = server.Serve(l) }()
		k.t.Cleanup(func() { _ = server.Close() })
		k.through("http://"+l.Addr().String(), "")
		k.wait(k.during(5*time.Second, 10*time.Second))
		k.must(k.program.untilReady(patience), "wait for whyrestart")
		k.direct()
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.did == 0 {
			k.t.Error("no event was touched")
		}
		return m.did, ""
	}}
}

// closers closes several.
type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for _, one := range c {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}
