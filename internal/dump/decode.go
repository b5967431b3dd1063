package dump

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/record"
)

// found is one thing that a decoder read.
type found struct {
	event  EventType // empty for an object that was not part of a watch
	object Object    // nil for a bookmark, an error and a log
	// version is the resource version of a bookmark, failure the message of an error event.
	version string
	failure string
	// log is the first line of a log, which the caller reads from the decoder's scanner.
	log  string
	line int
}

// decoder turns a stream of JSON documents into objects, and keeps account of what it
// could not use.
type decoder struct {
	scan *scanner
	name string // of the file, as messages give it
	hint kindOf // of objects that do not say what they are

	queue []found
	// unknown holds the items of a list whose kind has not come yet.
	unknown     []rawItem
	unknownSize int
	listKind    kindOf
	listKnown   int // the length of the list's header when listKind was read from it

	// understood counts the documents and items that are API objects, read or ignored.
	understood int
	unusable   int64
	missing    []record.Missing
	unnamed    int
	ended      bool
}

type rawItem struct {
	raw  []byte
	line int
}

// envelope is what tells a watch event, a list and an object apart.
type envelope struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Type       any             `json:"type"` // a string in a watch event and in an Event, anything elsewhere
	Object     json.RawMessage `json:"object"`
	Items      json.RawMessage `json:"items"`
}

func newDecoder(name string, r io.Reader, l Limits) *decoder {
	return &decoder{scan: newScanner(r, l.Document), name: name, hint: kindOfPath(name)}
}

// next returns what was read next, io.EOF at the end. Reading itself failing is a
// damage too: what came before it is used.
func (d *decoder) next() (found, error) {
	for len(d.queue) == 0 {
		if d.ended {
			return found{}, io.EOF
		}
		t, ok := d.scan.next()
		if !ok {
			d.flush(d.hint)
			if failed := d.scan.failed(); failed != nil {
				d.miss(d.scan.lineAt(d.scan.start), fmt.Sprintf("reading ends here: %v", failed))
			}
			d.ended = true
			continue
		}
		d.take(t)
	}
	f := d.queue[0]
	d.queue = d.queue[1:]
	if len(d.queue) == 0 {
		d.queue = nil
	}
	return f, nil
}

func (d *decoder) take(t token) {
	switch t.kind {
	case tokDocument:
		d.document(t.text, d.hint, t.line)
	case tokItem:
		d.item(t)
	case tokListEnd:
		var env envelope
		if len(t.text) > 0 && json.Unmarshal(t.text, &env) == nil && env.Kind != "" {
			d.understood++
			d.flush(parseKind(env.APIVersion, env.Kind).item())
		}
		d.flush(d.hint)
		d.listKnown, d.listKind = 0, kindOf{}
	case tokLog:
		d.queue = append(d.queue, found{log: string(t.text), line: t.line})
	case tokDamage:
		d.flush(d.hint)
		d.listKnown, d.listKind = 0, kindOf{}
		d.miss(t.line, fmt.Sprintf("%s; %d bytes%s are not used", t.why, t.lost, sniff(t.text)))
		d.unusable += t.lost
		d.ended = d.understood == 0 && d.unusable > giveUpAfter
	}
}

// document takes a whole document: a watch event, an object, or an empty list. An
// object that does not say what it is is taken for one of kind hint.
func (d *decoder) document(raw []byte, hint kindOf, line int) {
	var env envelope
	if err := json.Unmarshal(raw, &env); err != nil {
		d.damaged(line, "", err)
		return
	}
	if len(env.Object) > 0 && env.Kind == "" {
		d.watchEvent(env, line)
		return
	}
	k, items := hint, hint
	if env.Kind != "" {
		k = parseKind(env.APIVersion, env.Kind)
		items = k.item()
	}
	if env.Items != nil && d.list("", items, env.Items, line) {
		if env.Kind != "" {
			d.understood++
		}
		return
	}
	d.object("", k, raw, line)
}

func (d *decoder) watchEvent(env envelope, line int) {
	typ, _ := env.Type.(string)
	var inner envelope
	if err := json.Unmarshal(env.Object, &inner); err != nil {
		d.damaged(line, typ, err)
		return
	}
	switch e := EventType(typ); e {
	case Added, Modified, Deleted:
		k := parseKind(inner.APIVersion, inner.Kind)
		if inner.Items == nil || !d.list(e, k.item(), inner.Items, line) {
			d.object(e, k, env.Object, line)
		}
	case Bookmark:
		var meta metav1.PartialObjectMetadata
		if err := json.Unmarshal(env.Object, &meta); err != nil {
			d.damaged(line, typ, err)
			return
		}
		d.understood++
		d.queue = append(d.queue, found{event: e, version: meta.ResourceVersion, line: line})
	case Error:
		var status metav1.Status
		if err := json.Unmarshal(env.Object, &status); err != nil {
			d.damaged(line, typ, err)
			return
		}
		d.understood++
		d.queue = append(d.queue, found{event: e, failure: statusText(status), line: line})
	default:
		d.miss(line, fmt.Sprintf("is a watch event of no known type: %q", shorten([]byte(typ), 40)))
	}
}

func statusText(s metav1.Status) string {
	switch {
	case s.Message != "":
		return s.Message
	case s.Reason != "":
		return string(s.Reason)
	}
	return fmt.Sprintf("the server reported an error with code %d", s.Code)
}

// list takes the items of a list that came in one piece, and tells whether it was one.
// Lists do not nest further.
func (d *decoder) list(e EventType, hint kindOf, items json.RawMessage, line int) bool {
	var list []json.RawMessage
	if json.Unmarshal(items, &list) != nil {
		return false
	}
	for _, item := range list {
		var env envelope
		if err := json.Unmarshal(item, &env); err != nil {
			d.damaged(line, string(e), err)
			continue
		}
		k := hint
		if env.Kind != "" {
			k = parseKind(env.APIVersion, env.Kind)
		}
		d.object(e, k, item, line)
	}
	return true
}

// object takes one object.
func (d *decoder) object(e EventType, k kindOf, raw []byte, line int) {
	obj, err := decodeObject(k, raw)
	if err != nil {
		d.damaged(line, string(e), err)
		return
	}
	if k.kind != "" {
		d.understood++
	}
	if obj != nil {
		d.queue = append(d.queue, found{event: e, object: obj, line: line})
	}
}

// item takes one item of a list that is read piece by piece. An item of a typed list
// does not say what it is, and the list may say it only after its items.
func (d *decoder) item(t token) {
	var env envelope
	if err := json.Unmarshal(t.text, &env); err != nil {
		d.damaged(t.line, "", err)
		return
	}
	if len(d.scan.header) != d.listKnown {
		d.listKnown = len(d.scan.header)
		d.listKind = headerKind(d.scan.header).item()
	}
	switch {
	case env.Kind != "" || len(env.Object) > 0:
		d.document(t.text, d.hint, t.line)
	case d.listKind != kindOf{}:
		d.document(t.text, d.listKind, t.line)
	case len(d.scan.header) == 0:
		d.document(t.text, d.hint, t.line)
	case d.unknownSize+len(t.text) > d.scan.max:
		d.miss(t.line, "is an item of a list that does not say what it holds before its items")
	default:
		d.unknown = append(d.unknown, rawItem{bytes.Clone(t.text), t.line})
		d.unknownSize += len(t.text)
	}
}

// flush takes the items that waited for the kind of their list.
func (d *decoder) flush(k kindOf) {
	for _, item := range d.unknown {
		d.document(item.raw, k, item.line)
	}
	d.unknown, d.unknownSize = nil, 0
}

// headerKind reads the kind from the beginning of a list, which is not whole JSON.
func headerKind(header []byte) kindOf {
	dec := json.NewDecoder(bytes.NewReader(header))
	if _, err := dec.Token(); err != nil {
		return kindOf{}
	}
	var apiVersion, kind string
	for {
		key, err := dec.Token()
		if err != nil {
			return parseKind(apiVersion, kind)
		}
		var value json.RawMessage
		if key == "items" || dec.Decode(&value) != nil {
			return parseKind(apiVersion, kind)
		}
		// A value that is not a string is no kind, and leaves it empty.
		switch key {
		case "kind":
			_ = json.Unmarshal(value, &kind)
		case "apiVersion":
			_ = json.Unmarshal(value, &apiVersion)
		}
	}
}

// damaged notes a document that is JSON and still could not be used.
func (d *decoder) damaged(line int, event string, err error) {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		d.miss(line, fmt.Sprintf("is not JSON here: %v", err))
	case event != "":
		d.miss(line, fmt.Sprintf("the %s event is not used: %v", event, err))
	default:
		d.miss(line, fmt.Sprintf("an object is not used: %v", err))
	}
}

// miss notes something that is not used, by its place.
func (d *decoder) miss(line int, why string) {
	if len(d.missing) >= maxNamed {
		d.unnamed++
		return
	}
	d.missing = append(d.missing, record.Missing{What: fmt.Sprintf("%s, line %d", d.name, line), Why: why})
}

// losses returns what could not be used; the places beyond a bound are only counted.
func (d *decoder) losses() []record.Missing {
	if d.unnamed == 0 {
		return d.missing
	}
	more := record.Missing{What: d.name, Why: fmt.Sprintf("%d more damaged places", d.unnamed)}
	return append(slices.Clip(d.missing), more)
}

// The words that say what a cut-off document was.
var (
	sniffEvent = regexp.MustCompile(`^\s*\{\s*"type":\s*"([A-Z]+)"`)
	sniffKind  = regexp.MustCompile(`"kind":\s*"([A-Za-z]+)"`)
)

// sniff tells what a piece of a document was about, as far as it can be seen.
func sniff(piece []byte) string {
	k := sniffKind.FindSubmatch(piece)
	if k == nil {
		return ""
	}
	if e := sniffEvent.FindSubmatch(piece); e != nil {
		return fmt.Sprintf(" of a %s (%s)", k[1], e[1])
	}
	return fmt.Sprintf(" of a %s", k[1])
}
