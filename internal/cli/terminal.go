package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/whyrestart/whyrestart/internal/printer"
)

// maxWidth is the longest line that is pleasant to read.
const maxWidth = 120

// width is how many columns text is wrapped to: those of the terminal, or of COLUMNS
// where there is none.
func (e *environment) width() int {
	n := terminalWidth(e.Out)
	if n == 0 {
		n, _ = strconv.Atoi(os.Getenv("COLUMNS"))
	}
	if n <= 0 {
		n = printer.DefaultWidth
	}
	return min(n, maxWidth)
}

// terminalWidth is 0 where w is no terminal.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return n
}

// asciiOnly tells that the terminal, or the locale, shows nothing but ASCII. A locale that
// is not set says nothing: containers have none, and their terminals show everything.
func asciiOnly() bool {
	switch os.Getenv("TERM") {
	case "dumb", "linux", "vt100", "vt220":
		return true
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(os.Getenv(name)); v != "" {
			return !strings.Contains(v, "utf-8") && !strings.Contains(v, "utf8")
		}
	}
	return false
}

// patience is how long a person waits without being told for what.
const patience = 2 * time.Second

// progress tells a person at a terminal what takes so long, until the returned function
// is called.
func (e *environment) progress(what string) (done func()) {
	if terminalWidth(e.Err) == 0 {
		return func() {}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		start := time.Now()
		tick := time.NewTicker(patience)
		defer tick.Stop()
		for told := false; ; told = true {
			select {
			case <-stop:
				if told {
					fmt.Fprint(e.Err, "\r\x1b[K")
				}
				return
			case now := <-tick.C:
				fmt.Fprintf(e.Err, "\r\x1b[K%s, %s", what, printer.Duration(now.Sub(start)))
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
	}
}
