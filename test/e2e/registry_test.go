//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

// registry is an image registry on this machine that has nothing to give, and says so in
// the words of real ones. containerd speaks plain HTTP to a loopback address.
type registry struct {
	addr string
	// closed is an address of this machine where nobody listens.
	closed string
}

func newRegistry(t *testing.T) registry {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen for the registry: %v", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(serveRegistry)}
	go func() { _ = server.Serve(l) }() // ends with the server
	t.Cleanup(func() { _ = server.Close() })

	unused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer unused.Close()
	return registry{addr: l.Addr().String(), closed: unused.Addr().String()}
}

// serveRegistry answers by the name of the image.
func serveRegistry(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code, message string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
	}
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	switch name := strings.TrimPrefix(r.URL.Path, "/v2/"); {
	case name == "":
		w.WriteHeader(http.StatusOK)
	case strings.HasPrefix(name, "private/"):
		w.Header().Set("WWW-Authenticate", `Basic realm="the registry of the tests"`)
		refuse(http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	case strings.HasPrefix(name, "forbidden/"):
		refuse(http.StatusForbidden, "DENIED", "requested access to the resource is denied")
	case strings.HasPrefix(name, "busy/"):
		refuse(http.StatusTooManyRequests, "TOOMANYREQUESTS", "You have reached your pull rate limit.")
	case strings.HasPrefix(name, "broken/"):
		refuse(http.StatusInternalServerError, "UNKNOWN", "unknown error")
	case strings.HasPrefix(name, "foreign/manifests/"):
		// An index whose only image is for a kind of computer that this is none of.
		const digest = "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		index := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[` +
			`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + digest + `","size":2,"platform":{"architecture":"s390x","os":"linux"}}]}`
		w.Header().Set("Content-Length", fmt.Sprint(len(index)))
		if r.Method != http.MethodHead {
			fmt.Fprint(w, index)
		}
	default:
		refuse(http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
	}
}
