package printer_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/printer"
)

// hostile are texts that do something to a terminal that shows them as they are.
var hostile = []string{
	"\x1b[31mred\x1b[0m", "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "\x1b]0;title\a", "\x1bP+q\x1b\\", "\u009b31m", "\u009d0;x\u009c",
	"a\rb", "a\nb", "a\tb", "a\bb", "\x00", "\x7f", "\u0085", "\u00ad",
	"\u202egpj.exe", "\u2066x\u2069", "\u061cx", "\u200ex\u200f",
	"zero\u200bwidth", "\u200d", "\u2060", "\ufeff", "\u180e", "\u115f\u1160\u3164\uffa0",
	"line\u2028para\u2029", "\ufff9a\ufffbb", "tag\U000e0041\U000e007f", "\U0001d173",
	"\xff\xfe", "\x9b31m", "\xc2", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\ufffd",
	`\x1b`, `"quoted"`, `\`, "größe 世界 🙂 e\u0301",
}

// acted tells runes that a terminal acts on, or that hide or move what it shows. It
// says so on its own, from Unicode's properties, lest it repeat the mistakes of what it tests.
func acted(r rune) bool {
	return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) ||
		r == 0xad || r >= 0x200b && r <= 0x200f || r >= 0x2060 && r <= 0x206f || r == 0xfeff || r >= 0xfff0 && r <= 0xfffb || r >= 0xe0000 && r <= 0xe00ff ||
		strings.ContainsRune("\u034f\u115f\u1160\u17b4\u17b5\u180e\u3164\uffa0", r)
}

// checkSafe allows the bytes of lines that are meant to be several.
func checkSafe(t *testing.T, s string, lines bool) {
	t.Helper()
	if !utf8.ValidString(s) {
		t.Errorf("no UTF-8: %q", s)
	}
	for i, r := range s {
		if acted(r) && !(lines && r == '\n') {
			t.Fatalf("%U at %d of %q reaches the terminal", r, i, s)
		}
	}
}

func TestEscape(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"", ""},
		{"checkout-6f7c9-x2x4q", "checkout-6f7c9-x2x4q"},
		{"größe 世界 🙂 e\u0301", "größe 世界 🙂 e\u0301"},
		{"\x1b[31mred", `\x1b[31mred`},
		{"a\nb\tc\rd", `a\nb\tc\x0dd`},
		{"\x00\x7f\u0085\u009b", `\x00\x7f\x85\x9b`},
		{"\u202egpj.exe", `\u202egpj.exe`},
		{"a\u200bb\ufeff", `a\u200bb\ufeff`},
		{"\U000e0041", `\U000e0041`},
		{"soft\u00adhyphen", `soft\xadhyphen`},
		{"\u3164\u180e", `\u3164\u180e`},
		{"\u0600", "\u0600"}, // a sign of its own, although a format character
		{"\xff", `\xff`},
		{"\x9b31m", `\x9b31m`},
		{"\ufffd", "\ufffd"}, // it was in the text already
		{`\x1b`, `\x1b`},     // harmless, and told apart nowhere
	} {
		if got := printer.Escape(tc.in); got != tc.want {
			t.Errorf("Escape(%q) = %q, want %q", tc.in, got, tc.want)
		}
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := printer.Escape(s)
		checkSafe(t, got, false)
		if again := printer.Escape(got); again != got {
			t.Errorf("%q escaped again is %q", got, again)
		}
		if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || acted(r) }) && utf8.ValidString(s) && got != s {
			t.Errorf("%q needed no escape and became %q", s, got)
		}
	})
}

func FuzzEscapeJSON(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, doc := range []any{s, map[string]any{s: []any{s, 1.5, nil, true}}} {
			b, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			before := string(b)
			got := printer.EscapeJSON(b)
			checkSafe(t, string(got), false)
			if string(b) != before {
				t.Error("the input was written to")
			}
			var want, back any
			if err := json.Unmarshal(b, &want); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(got, &back); err != nil {
				t.Fatalf("%s became %s: %v", b, got, err)
			}
			if diff := cmp.Diff(want, back); diff != "" {
				t.Errorf("%s means something else than %s:\n%s", got, b, diff)
			}
		}
	})
}
