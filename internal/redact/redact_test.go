package redact

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func newRedactor(t testing.TB, patterns ...string) *Redactor {
	t.Helper()
	r, err := New(Options{Patterns: patterns})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSecrets gives each line, what is left of it and, where it is not one, how many
// values were replaced.
func TestSecrets(t *testing.T) {
	jwt := "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
	tests := []struct {
		in, want string
		n        int
	}{
		// Keys and values.
		{in: "connecting with password=hunter2SuperSecret token=ghp_abcdefghijklmnopqrstuvwxyz0123456789", want: "connecting with password=[redacted] token=[redacted]", n: 2},
		{in: "DB_PASSWORD=hunter2", want: "DB_PASSWORD=[redacted]"},
		{in: "export MYSQL_PWD=hunter2;", want: "export MYSQL_PWD=[redacted];"},
		{in: "password: hunter2", want: "password: [redacted]"},
		{in: "password: 123456", want: "password: [redacted]"},
		{in: "Password:hunter2 User:bob}", want: "Password:[redacted] User:bob}"},
		{in: "{Host:db Password:hunter2}", want: "{Host:db Password:[redacted]}"},
		{in: `&Config{Password:"hunter2", User:"bob"}`, want: `&Config{Password:"[redacted]", User:"bob"}`},
		{in: "passwd=hunter2, user=bob", want: "passwd=[redacted], user=bob"},
		{in: "password=hun,ter2 user=bob", want: "password=[redacted] user=bob"},
		{in: "password=hun)ter2} user=bob", want: "password=[redacted]} user=bob"},
		{in: "password=a&b&user=bob", want: "password=[redacted]&user=bob"},
		{in: "password = hunter2", want: "password = [redacted]"},
		{in: `msg="login with password=hunter2"`, want: `msg="login with password=[redacted]"`},
		{in: `msg="login with password=\"hunter2\" ok"`, want: `msg="login with password=\"[redacted]\" ok"`},
		{in: "dbPassword=hunter2", want: "dbPassword=[redacted]"},
		{in: "DBPassword: hunter2", want: "DBPassword: [redacted]"},
		{in: "spring.datasource.password=hunter2", want: "spring.datasource.password=[redacted]"},
		{in: "password1=hunter2 db_password_2=hunter3", want: "password1=[redacted] db_password_2=[redacted]", n: 2},
		{in: "mypassword=x1", want: "mypassword=[redacted]"},
		{in: "db_pass=hunter2", want: "db_pass=[redacted]"},
		{in: "user=root pass=hunter2", want: "user=root pass=[redacted]"},
		{in: "SECRET_KEY_BASE=abc", want: "SECRET_KEY_BASE=[redacted]"},
		{in: "api_key=abc123 apikey: abc123 apiKey=abc X-API-Key: abc", want: "api_key=[redacted] apikey: [redacted] apiKey=[redacted] X-API-Key: [redacted]", n: 4},
		{in: "client_secret=abc&grant_type=x", want: "client_secret=[redacted]&grant_type=x"},
		{in: "GET /cb?access_token=abc&state=1 200", want: "GET /cb?access_token=[redacted]&state=1 200"},
		{in: "token=abcdef refresh_token=1234567", want: "token=[redacted] refresh_token=[redacted]", n: 2},
		{in: "credentials=abc", want: "credentials=[redacted]"},
		{in: "auth=abc123", want: "auth=[redacted]"},
		{in: "_authToken=abc123", want: "_authToken=[redacted]"},
		{in: "//registry/:_authToken=abc123", want: "//registry/:_authToken=[redacted]"},
		{in: "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", want: "aws_secret_access_key = [redacted]"},
		{in: "AWS Secret Access Key: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", want: "AWS Secret Access Key: [redacted]"},
		{in: "PWD=hunter2", want: "PWD=[redacted]"},
		{in: "password=[redacted]hunter2", want: "password=[redacted]"},
		// JSON, YAML, and others' ways to write them.
		{in: `{"user":"bob","password":"hunter2"}`, want: `{"user":"bob","password":"[redacted]"}`},
		{in: `{"password" : "hun\"ter2" , "x":1}`, want: `{"password" : "[redacted]" , "x":1}`},
		{in: `{"password":12345,"x":1}`, want: `{"password":[redacted],"x":1}`},
		{in: `{"msg":"{\"password\":\"hunter2\",\"a\":1}"}`, want: `{"msg":"{\"password\":\"[redacted]\",\"a\":1}"}`},
		{in: `{"m":"{\"n\":\"{\\\"password\\\":\\\"hun\\\\\\\"ter2\\\"}\"}"}`, want: `{"m":"{\"n\":\"{\\\"password\\\":\\\"[redacted]\\\"}\"}"}`},
		{in: `{"credentials":{"user":"bob","password":"hunter2"}}`, want: `{"credentials":{"user":"bob","password":"[redacted]"}}`},
		{in: `{'password': 'hunter2'}`, want: `{'password': '[redacted]'}`},
		{in: `{:password=>"hunter2", "token"=>"abc123"}`, want: `{:password=>"[redacted]", "token"=>"[redacted]"}`, n: 2},
		{in: `params[password]=hunter2`, want: `params[password]=[redacted]`},
		{in: `"secret": "abc"`, want: `"secret": "[redacted]"`},
		{in: `  client-secret: "abc def"`, want: `  client-secret: "[redacted]"`},
		{in: `<password>hunter2</password>`, want: `<password>[redacted]</password>`},
		{in: `"password":"cut off`, want: `"password":"[redacted]`},
		{in: "ConnectionStrings__Db_ConnectionString=\"Server=db;Password=x\"", want: `ConnectionStrings__Db_ConnectionString="[redacted]"`},
		{in: "Server=db;User Id=sa;Password=p@ss;word;Encrypt=true", want: "Server=db;User Id=sa;Password=[redacted];Encrypt=true"},
		{in: "AccountName=x;AccountKey=YWJjZGVm==;EndpointSuffix=core", want: "AccountName=x;AccountKey=[redacted];EndpointSuffix=core"},
		{in: "?sv=2020&sig=abc%2Bdef%3D&se=1", want: "?sv=2020&sig=[redacted]&se=1"},
		{in: "X-Amz-Signature=abcdef", want: "X-Amz-Signature=[redacted]"},
		// Flags.
		{in: "server --password=hunter2 --port=80", want: "server --password=[redacted] --port=80"},
		{in: "server --password hunter2 --port 80", want: "server --password [redacted] --port 80"},
		{in: "server -password hunter2", want: "server -password [redacted]"},
		{in: `exec ["server","--api-key","abc","-v"]`, want: `exec ["server","--api-key","[redacted]","-v"]`},
		{in: "mysql -h db -u root -phunter2 shop", want: "mysql -h db -u root -p[redacted] shop"},
		{in: "sshpass -p hunter2 ssh host", want: "sshpass -p [redacted] ssh host"},
		{in: "docker login -u bob -p hunter2 reg", want: "docker login -u bob -p [redacted] reg"},
		{in: "redis-cli -h r -a hunter2 ping", want: "redis-cli -h r -a [redacted] ping"},
		{in: "curl -s -u bob:hunter2 https://x", want: "curl -s -u bob:[redacted] https://x"},
		{in: "machine x login bob password hunter2", want: "machine x login bob password [redacted]"},
		{in: "CREATE USER bob IDENTIFIED BY 'hunter2'", want: "CREATE USER bob IDENTIFIED BY '[redacted]'"},
		{in: "CREATE ROLE bob PASSWORD 'hunter2'", want: "CREATE ROLE bob PASSWORD '[redacted]'"},
		// Headers.
		{in: "Authorization: Bearer abc.def-123", want: "Authorization: Bearer [redacted]"},
		{in: "authorization: Basic Ym9iOmh1bnRlcjI=", want: "authorization: Basic [redacted]"},
		{in: `curl -H "Authorization: token abc123" https://x`, want: `curl -H "Authorization: token [redacted]" https://x`},
		{in: `{"Authorization":"Bearer abc123","x":1}`, want: `{"Authorization":"Bearer [redacted]","x":1}`},
		{in: "map[Authorization:[Bearer abc123] Host:[x]]", want: "map[Authorization:[Bearer [redacted]] Host:[x]]"},
		{in: "Authorization: abc123", want: "Authorization: [redacted]"},
		{in: "Authorization: AWS4-HMAC-SHA256 Credential=a/b, Signature=c", want: "Authorization: AWS4-HMAC-SHA256 [redacted]"},
		{in: "Proxy-Authorization: Basic Ym9i", want: "Proxy-Authorization: Basic [redacted]"},
		{in: "sent bearer 0123abcdef", want: "sent bearer [redacted]"},
		{in: "Cookie: sid=abc; theme=dark", want: "Cookie: sid=[redacted]; theme=[redacted]", n: 2},
		{in: "Set-Cookie: sid=abc; Path=/; HttpOnly", want: "Set-Cookie: sid=[redacted]; Path=/; HttpOnly"},
		{in: `{"cookie":"sid=abc"}`, want: `{"cookie":"sid=[redacted]"}`},
		// URLs and connection strings.
		{in: "dial postgres://bob:hunter2@db:5432/shop?sslmode=off failed", want: "dial postgres://bob:[redacted]@db:5432/shop?sslmode=off failed"},
		{in: "amqp://guest:guest@mq:5672/", want: "amqp://guest:[redacted]@mq:5672/"},
		{in: "mongodb+srv://bob:p%40ss@c0.x.net/db", want: "mongodb+srv://bob:[redacted]@c0.x.net/db"},
		{in: "redis://:hunter2@r:6379/0", want: "redis://:[redacted]@r:6379/0"},
		{in: "postgres://bob:hun/ter#2@db/shop", want: "postgres://bob:[redacted]@db/shop"},
		{in: "a://b:c@d, e://f:g@h", want: "a://b:[redacted]@d, e://f:[redacted]@h", n: 2},
		{in: "https://ab12cd34ef56ab12cd34ef56@github.com/x", want: "https://[redacted]@github.com/x"},
		{in: "root:hunter2@tcp(db:3306)/shop", want: "root:[redacted]@tcp(db:3306)/shop"},
		// Tokens by their form.
		{in: "got " + jwt + " back", want: "got [redacted] back"},
		{in: "id AKIAIOSFODNN7EXAMPLE used", want: "id AKIA[redacted] used"},
		{in: "clone with ghp_abcdefghijklmnopqrstuvwxyz0123456789", want: "clone with ghp_[redacted]"},
		{in: "github_pat_11ABCDEFG0abcdefghijkl_x", want: "github_pat_[redacted]"},
		{in: "glpat-abcdefghij0123456789", want: "glpat-[redacted]"},
		{in: "xoxb-" + "123456789012-abcdefghij", want: "xoxb-[redacted]"},
		{in: "https://hooks.slack.com/services/" + "T0001/B0001/abcdefgh", want: "https://hooks.slack.com/services/[redacted]"},
		{in: "sk_" + "live_abcdefghijklmnop", want: "sk_live_[redacted]"},
		{in: "AIzaSyA-0123456789abcdefghijklmnopqrstu", want: "AIza[redacted]"},
		{in: "SG.abcdefghijklmnopqrst.abcdefghijklmnopqrst", want: "SG.[redacted]"},
		{in: "hvs.abcdefghijklmnopqrstuvwx", want: "hvs.[redacted]"},
		{in: "https://api.telegram.org/bot123456789:AAabcdefghijklmnopqrstuvwxyz0123456/x", want: "https://api.telegram.org/bot123456789:[redacted]/x"},
		// Keys in one line.
		{in: `key="-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----\n"`, want: `key="-----BEGIN RSA PRIVATE KEY-----[redacted]-----END RSA PRIVATE KEY-----\n"`},
		{in: "-----BEGIN PRIVATE KEY-----MIIEow", want: "-----BEGIN PRIVATE KEY-----[redacted]"},
	}
	r := newRedactor(t)
	for _, tt := range tests {
		if tt.n == 0 {
			tt.n = 1
		}
		got, n := r.Line(tt.in)
		if got != tt.want || n != tt.n {
			t.Errorf("%s\ngot  %s (%d)\nwant %s (%d)", tt.in, got, n, tt.want, tt.n)
		}
		if again, n := r.Line(got); again != got || n != 0 {
			t.Errorf("%s\nagain %s (%d)", got, again, n)
		}
	}
}

// TestOrdinary reads lines that must stay as they are.
func TestOrdinary(t *testing.T) {
	r := newRedactor(t)
	files, err := filepath.Glob("testdata/ordinary/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(strings.NewReader(string(raw)))
		for at := 1; lines.Scan(); at++ {
			if got, n := r.Line(lines.Text()); got != lines.Text() || n != 0 {
				t.Errorf("%s:%d\n%s\n%s (%d)", file, at, lines.Text(), got, n)
			}
		}
		all := strings.Split(string(raw), "\n")
		if got, n := r.Lines(all); !slices.Equal(got, all) || n != 0 {
			t.Errorf("%s: as one text %d values were replaced", file, n)
		}
	}
}

func TestPrivateKeys(t *testing.T) {
	b64 := "MIIEowIBAAKCAQEA0Z3VS5JJcds3xfn/ygWyF8PbnGy0AHB7MaGBir0JXHFOyaFK"
	key := []string{"loading", "-----BEGIN RSA PRIVATE KEY-----", b64, b64, "AbC=", "-----END RSA PRIVATE KEY-----", "done"}
	tests := []struct {
		name     string
		in, want []string
		n        int
	}{
		{"whole", key, []string{"loading", key[1], mark, mark, mark, key[5], "done"}, 1},
		{"its end is cut off", key[:4], []string{"loading", key[1], mark, mark}, 1},
		{"its beginning is cut off", key[3:], []string{mark, mark, key[5], "done"}, 1},
		{"the log goes on without its end", []string{key[1], b64, "panic: no key", "x"}, []string{key[1], mark, "panic: no key", "x"}, 1},
		{"a logger writes before each line", []string{"E1 -----BEGIN EC PRIVATE KEY-----", "E1 " + b64, "E1 -----END EC PRIVATE KEY-----"}, []string{"E1 -----BEGIN EC PRIVATE KEY-----", "E1 " + mark, "E1 -----END EC PRIVATE KEY-----"}, 1},
		{"encrypted", []string{key[1], "Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC,0F", "", b64, key[5]}, []string{key[1], "Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC,0F", "", mark, key[5]}, 1},
		{"a certificate is public", []string{"-----BEGIN CERTIFICATE-----", b64, "-----END CERTIFICATE-----"}, []string{"-----BEGIN CERTIFICATE-----", b64, "-----END CERTIFICATE-----"}, 0},
		{"two", slices.Concat(key[1:6], key[1:6]), []string{key[1], mark, mark, mark, key[5], key[1], mark, mark, mark, key[5]}, 2},
		{"none", nil, nil, 0},
		{"talk of one", []string{"no PRIVATE KEY found", b64}, []string{"no PRIVATE KEY found", b64}, 0},
	}
	r := newRedactor(t)
	for _, tt := range tests {
		before := slices.Clone(tt.in)
		got, n := r.Lines(tt.in)
		if d := cmp.Diff(tt.want, got); d != "" || n != tt.n {
			t.Errorf("%s: %d values (-want +got):\n%s", tt.name, n, d)
		}
		if !slices.Equal(before, tt.in) {
			t.Errorf("%s: the input was changed", tt.name)
		}
		if again, n := r.Lines(got); !slices.Equal(again, got) || n != 0 {
			t.Errorf("%s: again %q (%d)", tt.name, again, n)
		}
	}
}

func TestPatterns(t *testing.T) {
	tests := []struct {
		pattern, in, want string
		n                 int
	}{
		{`ACME-[0-9]{4}`, "id ACME-1234, ACME-5678", "id [redacted], [redacted]", 2},
		{`pin (\d+)`, "pin 1234", "pin [redacted]", 1},
		{`(\d+)-(\d+)`, "12-34", "[redacted]-[redacted]", 2},
		{`\w+`, "[redacted] x", "[redacted] [redacted]", 1},
		{`password: (.*)`, "password: hunter2 and more", "password: [redacted]", 2},
	}
	for _, tt := range tests {
		r := newRedactor(t, tt.pattern)
		got, n := r.Line(tt.in)
		if got != tt.want || n != tt.n {
			t.Errorf("%s: %s (%d), want %s (%d)", tt.pattern, got, n, tt.want, tt.n)
		}
		if again, n := r.Line(got); again != got || n != 0 {
			t.Errorf("%s: again %s (%d)", tt.pattern, again, n)
		}
	}
	_, err := New(Options{Patterns: []string{"ok", "(", "x*"}})
	want := "redaction pattern 2 (\"(\"): error parsing regexp: missing closing ): `(`\nredaction pattern 3 (\"x*\"): it matches nothing at all, and so everywhere"
	if err == nil || err.Error() != want {
		t.Errorf("error %v\nwant  %s", err, want)
	}
}

// A planted secret is made of letters and digits with a little punctuation inside.
const planted = `[A-Za-z0-9][A-Za-z0-9!#$%^*_+.~-]{6,30}[A-Za-z0-9]`

// places are texts around a secret, in which it must be found.
func places() []string {
	return []string{
		"password=%", "x password=% y=1", "DB_PASSWORD: %", `{"password":"%"}`, `{"a":1,"apiKey": "%", "b":2}`, `m="token=\"%\""`,
		"--password=% -v", "--password % -v", "postgres://u:%@h/d", "redis://:%@h:1", "Authorization: Basic %", "Cookie: sid=%; a=b",
		"<password>%</password>", "client_secret=%&x=y", "{Password:% User:x}", "aws_secret_access_key = %", "mysql -u r -p% d",
		"u:%@tcp(h:1)/d", "CREATE USER u IDENTIFIED BY '%'",
	}
}

// TestPlantedSecrets plants a secret in any of the places, with other text around.
func TestPlantedSecrets(t *testing.T) {
	r := newRedactor(t)
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(planted).Draw(t, "secret")
		if !strings.ContainsAny(secret, "0123456789") {
			t.Skip("a word may be one that says something about a password")
		}
		place := rapid.SampledFrom(places()).Draw(t, "place")
		before := rapid.StringMatching(`([a-z]{1,8} ){0,4}`).Draw(t, "before")
		after := rapid.StringMatching(`( [a-z]{1,8}){0,4}`).Draw(t, "after")
		line := before + strings.Replace(place, "%", secret, 1) + after
		got, n := r.Line(line)
		if strings.Contains(got, secret) || n == 0 {
			t.Fatalf("%s\n%s (%d)", line, got, n)
		}
		if again, n := r.Line(got); again != got || n != 0 {
			t.Fatalf("%s\nagain %s (%d)", got, again, n)
		}
	})
}

func FuzzLine(f *testing.F) {
	for _, p := range places() {
		f.Add(p)
	}
	f.Add("password=[redacted]x\\\"")
	f.Add("authorization: [redacted] bearer 1 cookie:[a=b")
	f.Add("-----BEGIN PRIVATE KEY-----\nabc")
	r := newRedactor(f, `ACME-(\d+)`)
	f.Fuzz(func(t *testing.T, line string) {
		got, n := r.Line(line)
		if (n == 0) != (got == line) {
			t.Errorf("%q: %q with %d values", line, got, n)
		}
		if len(got) > len(line)*(len(mark)+1) {
			t.Errorf("%d bytes became %d", len(line), len(got))
		}
		if again, n := r.Line(got); again != got || n != 0 {
			t.Errorf("not idempotent:\n%q\n%q\n%q (%d)", line, got, again, n)
		}
		lines := strings.Split(line, "\n")
		out, _ := r.Lines(lines)
		if len(out) != len(lines) {
			t.Errorf("%d lines became %d", len(lines), len(out))
		}
		if again, n := r.Lines(out); !slices.Equal(again, out) || n != 0 {
			t.Errorf("not idempotent:\n%q\n%q\n%q (%d)", lines, out, again, n)
		}
	})
}

func BenchmarkLine(b *testing.B) {
	r := newRedactor(b)
	lines := map[string]string{
		"ordinary": `2026-11-21T02:06:54.123Z INFO http server listening addr=:8080 version=1.2.3 commit=4f2a1c9d build=2026-11-20 workers=16 region=eu`,
		"keywords": `2026-11-21T02:06:54.123Z WARN connection to db-primary.shop.svc failed, authentication pending, key=orders partition=3 signal=none`,
		"secret":   `2026-11-21T02:06:54.123Z INFO connecting with user=shop password=hunter2SuperSecret to postgres://db:5432/shop?sslmode=disable ok`,
	}
	for name, line := range lines {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				r.Line(line)
			}
		})
	}
}
