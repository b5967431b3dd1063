package signature

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the wanted results of testdata")

// TestFind reads the logs of testdata/LANGUAGE.txtar: a file NAME.log, and the file
// NAME.want with what is found in it. The class that is wanted stands in the name of the
// log, before the first dot or dash, so that -update cannot make a wrong class right.
func TestFind(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("find the tables: %v, %d", err, len(paths))
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var got []txtar.File
			for _, f := range a.Files {
				name, ok := strings.CutSuffix(f.Name, ".log")
				if !ok {
					continue
				}
				lines := strings.Split(strings.TrimSuffix(string(f.Data), "\n"), "\n")
				s := Find(lines)
				class, _, _ := strings.Cut(name, "-")
				switch {
				case s == nil && class != "none":
					t.Errorf("%s: found nothing", name)
				case s != nil && s.Class != class:
					t.Errorf("%s: found %s in %q", name, s.Class, s.Line)
				}
				got = append(got, f, txtar.File{Name: name + ".want", Data: []byte(text(s))})
			}
			if *update {
				a.Files = got
				if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(txtar.Format(&txtar.Archive{Files: a.Files})), string(txtar.Format(&txtar.Archive{Files: got}))); diff != "" {
				t.Errorf("result (-want +got), write it with -update:\n%s", diff)
			}
		})
	}
}

// text is a signature as the tables show it.
func text(s *Signature) string {
	if s == nil {
		return "nothing\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "class %s\nline %d %s\n", s.Class, s.Index, s.Line)
	if s.Language != "" || s.Type != "" {
		fmt.Fprintf(&b, "language %s type %s\n", s.Language, s.Type)
	}
	for _, f := range s.Frames {
		mark := " "
		if f.App {
			mark = "*"
		}
		fmt.Fprintf(&b, "frame %s %s %s:%d\n", mark, f.Func, f.File, f.Line)
	}
	if s.Target != "" {
		fmt.Fprintf(&b, "target %s\n", s.Target)
	}
	fmt.Fprintf(&b, "key %s\n", s.Key)
	return b.String()
}

func TestFindNothing(t *testing.T) {
	for _, lines := range [][]string{nil, {}, {""}, {"", " ", "\t"}, {"\x1b[31m\x00"}} {
		if s := Find(lines); s != nil {
			t.Errorf("Find(%q) = %+v", lines, s)
		}
	}
}

// TestBounds gives what no honest program writes.
func TestBounds(t *testing.T) {
	huge := strings.Repeat("x", 1<<20)
	tests := map[string][]string{
		"a huge line":       {huge, "panic: " + huge, "", "goroutine 1 [running]:", "main.main()", "\t/" + huge + ".go:1"},
		"many lines":        append(make([]string, 100_000), "panic: late"),
		"open JSON":         {`{"level":"fatal","msg":"` + huge},
		"deep JSON":         {strings.Repeat(`{"a":`, 10_000) + `{"level":"error","msg":"connection refused"}`},
		"escapes":           {`{"msg":"\u12"}`, `{"msg":"\ud83d\ude00 \ud83d"}`, `{"msg":"\`},
		"quotes":            {strings.Repeat(`'"`, 5000) + " connection refused"},
		"frames for ever":   append([]string{"java.lang.RuntimeException: x"}, strings.Split(strings.Repeat("\tat a.B.c(D.java:1)\n", 10_000), "\n")...),
		"causes for ever":   strings.Split(strings.Repeat("Caused by: a.BException: x\n\tat a.B.c(D.java:1)\n", 5_000), "\n"),
		"tracebacks":        strings.Split(strings.Repeat("Traceback (most recent call last):\n", 10_000), "\n"),
		"goroutines":        strings.Split("panic: x\n\n"+strings.Repeat("goroutine 1 [running]:\nmain.main()\n\t/a.go:1 +0x1\n\n", 5_000), "\n"),
		"invalid UTF-8":     {"panic: \xff\xfe\xc3", "goroutine 1 [running]:", "\xff(\xfe)", "\t\xff.go:1"},
		"control and color": {"\x1b[31mERROR\x1b[0m \x07connect: connection refused\r"},
	}
	for name, lines := range tests {
		t.Run(name, func(t *testing.T) {
			check(t, lines, Find(lines))
		})
	}
}

// check tells whether a signature keeps what the package promises.
func check(t *testing.T, lines []string, s *Signature) {
	t.Helper()
	if diff := cmp.Diff(s, Find(lines)); diff != "" {
		t.Errorf("found another thing in the same lines:\n%s", diff)
	}
	if s == nil {
		return
	}
	switch {
	case s.Class == "" || s.Class != strings.ToLower(s.Class):
		t.Errorf("class %q", s.Class)
	case s.Index < 0 || s.Index >= len(lines):
		t.Errorf("index %d of %d lines", s.Index, len(lines))
	case len(s.Line) > maxShown || strings.ContainsAny(s.Line, "\x00\x1b\x07\r\n"):
		t.Errorf("line %q", s.Line)
	case len(s.Frames) > maxFrames:
		t.Errorf("%d frames", len(s.Frames))
	case s.Key == "" || len(s.Key) > 400:
		t.Errorf("key %q", s.Key)
	}
	checkTarget(t, lines, s.Target)
}

func FuzzFind(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*.txtar")
	for _, path := range paths {
		a, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			if strings.HasSuffix(file.Name, ".log") {
				f.Add(string(file.Data))
			}
		}
	}
	f.Fuzz(func(t *testing.T, log string) {
		lines := strings.Split(log, "\n")
		check(t, lines, Find(lines))
	})
}

func BenchmarkFind(b *testing.B) {
	work := make([]string, 0, 50)
	for i := range 40 {
		work = append(work, fmt.Sprintf(`2026-11-21T06:34:%02d.123Z INFO  [worker-%d] c.e.Orders - order %d stored in %dms`, i, i%4, 1000+i, i))
	}
	logs := map[string][]string{
		"plain": append(work[:40:40], "2026-11-21T06:35:00Z ERROR dial tcp 10.0.0.1:5432: connect: connection refused"),
		"go":    append(work[:40:40], "panic: boom", "", "goroutine 1 [running]:", "main.run(0x1)", "\t/app/main.go:10 +0x1d", "main.main()", "\t/app/main.go:5 +0x1d", "exit status 2"),
		"json":  strings.Split(strings.Repeat(`{"level":"info","ts":1700000000.1,"caller":"x/y.go:12","msg":"request done","status":200,"took":"1.2ms"}`+"\n", 49)+`{"level":"fatal","msg":"listen","error":"listen tcp :80: bind: permission denied"}`, "\n"),
	}
	for name, lines := range logs {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if Find(lines) == nil {
					b.Fatal("nothing")
				}
			}
		})
	}
}
