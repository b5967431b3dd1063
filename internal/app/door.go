package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/whyrestart/whyrestart/internal/printer"
)

// door is the HTTP server of serve. It is open from the beginning: alive, and not ready
// while what is behind it has still to come.
type door struct {
	listener net.Listener
	behind   atomic.Pointer[http.Handler]
	// waits is what is waited for.
	waits atomic.Pointer[string]
	// guard, if there is one, returns why nothing behind is ready, whatever that says itself.
	guard atomic.Pointer[func() error]
}

// openDoor begins to listen.
func openDoor(ctx context.Context, address string) (*door, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for HTTP: %w", err)
	}
	d := &door{listener: listener}
	d.wait("whyrestart has just begun")
	return d, nil
}

// wait says what is waited for.
func (d *door) wait(what string) { d.waits.Store(&what) }

// ask sets what is asked by /readyz before what is behind.
func (d *door) ask(guard func() error) { d.guard.Store(&guard) }

// show sets what answers from now on.
func (d *door) show(h http.Handler) { d.behind.Store(&h) }

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if guard := d.guard.Load(); guard != nil && r.URL.Path == "/readyz" {
		if err := (*guard)(); err != nil {
			http.Error(w, "not ready: "+printer.Escape(err.Error()), http.StatusServiceUnavailable)
			return
		}
	}
	if h := d.behind.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	switch r.URL.Path {
	case "/healthz":
		fmt.Fprintln(w, "ok")
	default:
		http.Error(w, "not ready: "+*d.waits.Load(), http.StatusServiceUnavailable)
	}
}

// run answers until ctx ends.
func (d *door) run(ctx context.Context) error {
	server := &http.Server{Handler: d, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(d.listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := server.Shutdown(stop)
	if serr := <-ended; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve HTTP: %w", serr))
	}
	return err
}
