package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/whyrestart/whyrestart/internal/store/postgres/pgtest"
)

// TestPostgresScripts runs the command line on histories in a database. Beside the commands of
// TestScripts, scripts have "database ENV", which makes an empty one and sets ENV to its URL.
func TestPostgresScripts(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	recordings, err := filepath.Abs("../../test/recordings")
	if err != nil {
		t.Fatal(err)
	}
	crashing := newRecordedServer(t, filepath.Join(recordings, "gopanic"))
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/postgres",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("CRASHING", crashing.URL)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("KUBECONFIG", filepath.Join(e.WorkDir, "none"))
			e.Setenv("STORE", server.NewDatabase(t))
			e.Setenv("EMPTY", server.NewDatabase(t))
			e.Setenv("OLD", server.NewDatabase(t))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"history": func(ts *testscript.TestScript, _ bool, args []string) {
				makeHistory(ts, unpack(ts, filepath.Join(recordings, args[0], "watch.jsonl.gz")), args[1])
			},
			"outdated": func(ts *testscript.TestScript, _ bool, args []string) {
				makeOutdated(ts, filepath.Join(recordings, args[0], "dump.tar.gz"), args[1])
			},
		},
	})
}

// secret is the password of the tests below, in a form that no escaping changes.
const secret = "hunter2secret"

// TestNoSecretIsSaid lets commands fail in every way that the URL of a database makes possible:
// neither a password nor a URL is in what they print.
func TestNoSecretIsSaid(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	server := pgtest.Start(t, pgtest.Options{TCP: true, Access: []string{"local all all scram-sha-256", "host all all 127.0.0.1/32 scram-sha-256"}})
	server.Exec(t, "postgres", "CREATE DATABASE history")
	server.Exec(t, "postgres", "CREATE ROLE app LOGIN PASSWORD 'right'")
	server.Exec(t, "postgres", "CREATE ROLE barred NOLOGIN PASSWORD '"+secret+"'")
	socket, address := url.QueryEscape(server.Host()), server.Address()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	refusing := refusingAddress(t)
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	urls := map[string]string{
		"wrong password":                  "postgres://app:" + secret + "@" + address + "/history",
		"wrong password, by the socket":   "postgres://app:" + secret + "@/history?host=" + socket + "&port=" + port,
		"wrong password, as a parameter":  "postgres://app@" + address + "/history?password=" + secret,
		"unknown role":                    "postgresql://nobody:" + secret + "@" + address + "/history",
		"role that may not log in":        "postgres://barred:" + secret + "@" + address + "/history",
		"unknown database":                "postgres://app:" + secret + "@" + address + "/other",
		"nobody listens":                  "postgres://app:" + secret + "@" + refusing + "/history",
		"no such socket":                  "postgres://app:" + secret + "@/history?host=/nonexistent",
		"nobody listens on several hosts": "postgres://app:" + secret + "@" + refusing + "," + refusing + "/history?target_session_attrs=read-write",
		"no TLS":                          "postgres://app:" + secret + "@" + address + "/history?sslmode=require",
		"no such root certificate":        "postgres://app:" + secret + "@" + address + "/history?sslmode=verify-full&sslrootcert=/nonexistent",
		"root certificate that is none":   "postgres://app:" + secret + "@" + address + "/history?sslmode=verify-full&sslrootcert=" + text,
		"no such key":                     "postgres://app:" + secret + "@" + address + "/history?sslmode=require&sslcert=/nonexistent&sslkey=/nonexistent&sslpassword=" + secret,
		"unknown sslmode":                 "postgres://app:" + secret + "@" + address + "/history?sslmode=" + secret,
		"unknown target":                  "postgres://app:" + secret + "@" + address + "/history?target_session_attrs=" + secret,
		"bad timeout":                     "postgres://app:" + secret + "@" + address + "/history?connect_timeout=" + secret,
		"bad port":                        "postgres://app:pw@127.0.0.1:" + secret + "/history",
		"bad ports":                       "postgres://app:pw@127.0.0.1:1,127.0.0.1:" + secret + "/history",
		"unknown parameter":               "postgres://app:" + secret + "@" + address + "/history?nonsense=" + secret,
		"bad pool":                        "postgres://app:" + secret + "@" + address + "/history?pool_max_conns=" + secret,
		"no such service":                 "postgres://app:" + secret + "@" + address + "/history?service=" + secret + "&servicefile=/nonexistent",
		"bad escape":                      "postgres://app:%zz" + secret + "@" + address + "/history",
		"number sign":                     "postgres://app:a#" + secret + "@" + address + "/history",
		"slash":                           "postgres://app:a/" + secret + "@" + address + "/history",
		"question mark":                   "postgres://app:a?" + secret + "@" + address + "/history",
		"at sign":                         "postgres://app:a@" + secret + "@" + address + "/history",
		"blank":                           "postgres://app:a " + secret + "@" + address + "/history",
		"bracket":                         "postgres://app:[" + secret + "@" + address + "/history",
		"control character":               "postgres://app:\x01" + secret + "@" + address + "/history",
		"one slash":                       "postgres:/app:" + secret + "@" + address + "/history",
		"no slash":                        "postgres:app:" + secret + "@" + address + "/history",
		"another database":                "mysql://app:" + secret + "@" + address + "/history",
		"keywords":                        "host=127.0.0.1 user=app password=" + secret,
		"quoted keywords":                 "host=127.0.0.1 user=app password='a " + secret + "'",
		"misspelt scheme":                 "postgers://app:" + secret + "@" + address + "/history",
	}
	commands := []string{"list", "list --ungrouped", "list --source=store", "explain api", "explain WR-4F2A1C", "logs api", "resolve WR-4F2A1C", "rediagnose", "serve --server http://" + refusing}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for name, location := range urls {
		for _, c := range commands {
			wg.Add(1)
			slots <- struct{}{}
			go func() {
				defer func() { <-slots; wg.Done() }()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				if strings.HasPrefix(c, "serve") {
					ctx, cancel = context.WithTimeout(ctx, time.Second)
					defer cancel()
				}
				args := append(strings.Fields(c), "--store", location)
				if strings.HasPrefix(c, "serve") {
					args = append(args, "--listen", "127.0.0.1:0")
				}
				hushed(t, ctx, name, args...)
			}()
		}
	}
	wg.Wait()
	for name, args := range map[string][]string{
		"one dash":       {"list", "-store=" + urls["wrong password"]},
		"misspelt flag":  {"list", "--stroe=" + urls["wrong password"]},
		"an argument":    {"list", urls["wrong password"]},
		"a command":      {urls["wrong password"]},
		"a pod":          {"explain", urls["wrong password"]},
		"a file":         {"analyze", urls["wrong password"]},
		"a flag's value": {"list", "--since", urls["wrong password"]},
		"a path":         {"list", "--file", urls["wrong password"]},
	} {
		hushed(t, t.Context(), name, args...)
	}
	t.Setenv(storeEnv, urls["wrong password"])
	hushed(t, t.Context(), "the environment", "list")
	for _, args := range [][]string{{"list", "--help"}, {"serve", "--help"}, {"__complete", "resolve", ""}, {"__complete", "list", "--store", ""}} {
		var out, errs bytes.Buffer
		Main(t.Context(), append([]string{"whyrestart"}, args...), Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
		silent(t, fmt.Sprint(args), out.String()+errs.String())
	}
	t.Setenv(storeEnv, "postgres://app@"+address+"/history")
	t.Setenv("PGPASSWORD", secret)
	hushed(t, t.Context(), "PGPASSWORD", "list")
}

// refusingAddress is one where nobody listens.
func refusingAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// hushed runs a command that has to fail, and to say so without a secret.
func hushed(t *testing.T, ctx context.Context, name string, args ...string) {
	t.Helper()
	var out, errs locked
	began := time.Now()
	code := Main(ctx, append([]string{"whyrestart"}, args...), Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	what := name + ": " + args[0]
	if code != exitError && !(args[0] == "serve" && ctx.Err() != nil) {
		t.Errorf("%s: exit code %d: %s%s", what, code, out.String(), errs.String())
	}
	if errs.String() == "" {
		t.Errorf("%s: nothing is said", what)
	}
	silent(t, what, out.String()+errs.String())
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("%s: it took %v", what, took)
	}
	t.Logf("%s: %s", what, errs.String())
}

func silent(t *testing.T, what, text string) {
	t.Helper()
	if strings.Contains(text, secret) || strings.Contains(text, "app:") || strings.Contains(text, "postgres://a") {
		t.Errorf("%s: a secret is said: %s", what, text)
	}
}

// locked is a buffer that a command writes to while a test reads it.
type locked struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *locked) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *locked) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestServeThroughAnOutage starts serve before its database, and takes that away while it
// serves: it is alive throughout, ready when it can store, and tells each of it once.
func TestServeThroughAnOutage(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	cluster := newRecordedServer(t, filepath.Join("..", "..", "test", "recordings", "gopanic"))
	server := pgtest.Start(t, pgtest.Options{})
	server.Exec(t, "postgres", "CREATE DATABASE history")
	server.Stop(t)
	address := refusingAddress(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs locked
	ended := make(chan int, 1)
	go func() {
		ended <- Main(ctx, []string{"whyrestart", "serve", "--server", cluster.URL, "--listen", address, "--settle", "10ms", "--store", server.URL("history") + "&connect_timeout=2&password=" + secret},
			Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	}()
	get := func(path string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, ""
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	ready := func(want int, text string) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			code, body := get("/readyz")
			silent(t, "/readyz", body)
			if code == want && strings.Contains(body, text) {
				t.Logf("/readyz: %d %s", code, body)
				break
			}
			if time.Now().After(end) {
				t.Fatalf("/readyz stays %d %s\n%s", code, body, errs.String())
			}
		}
		if code, body := get("/healthz"); code != http.StatusOK {
			t.Errorf("/healthz: %d %s", code, body)
		}
	}
	ready(http.StatusServiceUnavailable, "waits for the history, PostgreSQL database history on "+server.Host())
	server.Start(t)
	ready(http.StatusOK, "ok")
	for end := time.Now().Add(time.Minute); !strings.Contains(out.String(), "\n"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("nothing is printed\n%s", errs.String())
		}
	}
	server.Kill(t)
	// Nothing stops meanwhile: what notices it is the next heartbeat, or who looks after the issues.
	for end := time.Now().Add(time.Minute); !strings.Contains(errs.String(), "the history is away"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the outage is not told\n%s", errs.String())
		}
	}
	ready(http.StatusServiceUnavailable, "the history is away: ")
	server.Start(t)
	ready(http.StatusOK, "ok")
	cancel()
	if code := <-ended; code != exitDone {
		t.Errorf("exit code %d", code)
	}
	all := errs.String()
	for _, once := range []string{"the history cannot be reached", "the history is there", "the history is away", "the history is back"} {
		if n := strings.Count(all, once); n != 1 {
			t.Errorf("%q is said %d times", once, n)
		}
	}
	silent(t, "the log", all)
	t.Log(all)
}
