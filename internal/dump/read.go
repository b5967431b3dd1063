package dump

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/whyrestart/whyrestart/internal/record"
)

// Dump is what was read of a recorded state of a cluster.
type Dump struct {
	Objects *Objects
	// At is when the state was recorded, zero where the dump does not say it; bundles of
	// WriteBundle do.
	At time.Time
	// Missing names what was there and could not be used, and what a bundle says of itself.
	Missing []record.Missing
}

// ReadDump reads a file of "kubectl get -o json|yaml", the output of "kubectl
// cluster-info dump" as a file or a folder, a support bundle as a folder, or a
// .tar or .tar.gz of any of these. The path "-" stands for stdin. Files of a folder or
// archive that are neither objects nor logs are passed over.
//
// It fails where nothing could be read; else what could not is in Dump.Missing.
func ReadDump(ctx context.Context, name string, stdin io.Reader, limits Limits) (*Dump, error) {
	limits = limits.withDefaults()
	c := &collector{limits: limits, left: limits.Total, logsLeft: limits.AllLogs, objects: NewObjects()}
	if err := c.read(ctx, name, stdin); err != nil {
		return nil, err
	}
	if name == "-" {
		name = standardInput
	}
	d := &Dump{Objects: c.objects, At: c.at, Missing: c.missing}
	if c.unnamed > 0 {
		d.Missing = append(d.Missing, record.Missing{What: name, Why: fmt.Sprintf("%d more parts could not be used", c.unnamed)})
	}
	if c.understood == 0 {
		return nil, nothingIn(name, d.Missing)
	}
	return d, nil
}

// standardInput is what messages call the path "-".
const standardInput = "standard input"

// nothingIn says that nothing of a dump could be read, with the first reasons.
func nothingIn(name string, missing []record.Missing) error {
	const reasons = 3
	var why []string
	for _, m := range missing[:min(len(missing), reasons)] {
		why = append(why, m.What+": "+m.Why)
	}
	if len(why) == 0 {
		return fmt.Errorf("%s holds no Kubernetes objects: wanted is what \"kubectl get -o json|yaml\" or \"kubectl cluster-info dump\" writes", name)
	}
	return fmt.Errorf("nothing in %s can be read: %s", name, strings.Join(why, "; "))
}

// collector gathers what the files of one dump hold.
type collector struct {
	limits     Limits
	objects    *Objects
	left       int64 // bytes that may still be read
	logsLeft   int64 // bytes of logs that may still be kept
	files      int
	understood int
	at         time.Time
	missing    []record.Missing
	unnamed    int
}

func (c *collector) read(ctx context.Context, name string, stdin io.Reader) error {
	if name == "-" {
		return c.stream(ctx, standardInput, stdin)
	}
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("read a dump: %w", err)
	}
	if info.IsDir() {
		return c.folder(ctx, name)
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read a dump: %w", err)
	}
	defer f.Close()
	return c.stream(ctx, path.Base(name), f)
}

var zipMagic = []byte("PK\x03\x04")

// stream reads a file that was named, whose content alone tells what it is.
func (c *collector) stream(ctx context.Context, name string, r io.Reader) error {
	// The bound of an archive is that of all its files.
	in, err := newInput(name, r, c.limits.Total)
	if err != nil {
		return err
	}
	const tarHeader, magicAt = 512, 257
	head, err := in.r.Peek(tarHeader)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("read %s: %w", name, err)
	case bytes.HasPrefix(head, zipMagic):
		return fmt.Errorf("%s is a zip archive, which is not read: unpack it and name the folder, or make it a .tar.gz", name)
	case len(head) == tarHeader && bytes.HasPrefix(head[magicAt:], []byte("ustar")):
		return c.archive(ctx, name, tar.NewReader(in))
	}
	in.left, in.limit = c.limits.File, c.limits.File
	c.objectsIn(name, in)
	return nil
}

// file reads one file of a folder or archive by what its name promises, and passes over
// any other.
func (c *collector) file(name string, open func() (io.ReadCloser, error)) {
	key, layout := logPath(strings.TrimSuffix(name, ".gz"))
	if layout == noLog && !holdsObjects(name) {
		return
	}
	r, err := open()
	if err != nil {
		c.miss(name, fmt.Sprintf("cannot be opened: %v", err))
		return
	}
	defer r.Close()
	in, err := newInput(name, r, c.limits.File)
	if err != nil {
		c.miss(name, err.Error())
		return
	}
	in.total = &c.left
	switch layout {
	case noLog:
		if path.Base(name) == captureFile {
			err = c.capture(in)
			break
		}
		c.objectsIn(name, in)
		return
	case logSections:
		err = readSections(key, bufLines{in.buffered()}, c.limits, c.keepLog)
	case logPlain, logStamped:
		err = readLog(key, layout, bufLines{in.buffered()}, c.limits, c.keepLog)
	}
	if err != nil {
		c.miss(name, fmt.Sprintf("reading ends early: %v", err))
	}
}

// capture reads what a bundle says of itself.
func (c *collector) capture(in *input) error {
	var about capture
	raw, err := io.ReadAll(io.LimitReader(in, mib))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &about); err != nil {
		return err
	}
	c.at = about.At
	for _, m := range about.Missing {
		c.miss(m.What, m.Why)
	}
	return nil
}

// holdsObjects tells by its name whether a file of a folder may hold API objects.
func holdsObjects(name string) bool {
	switch path.Ext(strings.TrimSuffix(name, ".gz")) {
	case ".json", ".jsonl", ".yaml", ".yml":
		return !strings.HasPrefix(path.Base(name), ".")
	}
	return false
}

// objectsIn reads the objects of one file, JSON or YAML.
func (c *collector) objectsIn(name string, in *input) {
	d := newDecoder(name, in, c.limits)
	if ext := path.Ext(strings.TrimSuffix(name, ".gz")); ext == ".json" || ext == ".jsonl" || looksLikeJSON(in) {
		c.drain(d)
		return
	}
	err := yamlDocuments(in, c.limits.Document, func(doc []byte, line int) {
		raw, err := yaml.YAMLToJSON(doc)
		switch {
		case err != nil:
			d.miss(line, fmt.Sprintf("is not YAML here: %v", err))
		case bytes.HasPrefix(raw, []byte("{")):
			d.document(raw, d.hint, line)
		case bytes.HasPrefix(raw, []byte("[")):
			d.document(slices.Concat([]byte(`{"items":`), raw, []byte("}")), d.hint, line)
		case string(raw) != "null":
			d.miss(line, fmt.Sprintf("is neither JSON nor YAML of Kubernetes objects, but %q", shorten(doc, 60)))
		}
		c.takeQueue(d)
	})
	if err != nil {
		d.miss(1, err.Error())
	}
	c.account(d)
}

// looksLikeJSON tells whether a line in the beginning of a file opens a JSON document.
// Kubectl's warnings may come before it.
func looksLikeJSON(in *input) bool {
	head, _ := in.r.Peek(4 * kib) // a short file gives what there is
	head = bytes.TrimPrefix(head, []byte("\ufeff"))
	first := bytes.TrimLeft(head, " \t\r\n")
	if beginsDocument(first) {
		return true
	}
	return bytes.Contains(head, []byte("\n{")) || bytes.Contains(head, []byte("\n"+logMark))
}

// yamlDocuments splits a stream at the lines that separate YAML documents.
func yamlDocuments(in *input, limit int, handle func(doc []byte, line int)) error {
	var doc []byte
	lines := bufLines{in.buffered()}
	begin, at, fresh := 1, 1, true
	for {
		piece, err := lines.line()
		if fresh && isSeparator(piece) {
			handle(doc, begin)
			doc, begin = doc[:0], at+1
		} else {
			doc = append(doc, piece...)
		}
		if len(doc) > limit {
			return fmt.Errorf("a YAML document of more than %s is not read", size(int64(limit)))
		}
		if fresh = bytes.HasSuffix(piece, []byte("\n")); fresh {
			at++
		}
		if err != nil {
			handle(doc, begin)
			return ignoreEOF(err)
		}
	}
}

func isSeparator(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || strings.IndexByte(" \t\r\n", rest[0]) >= 0) && len(bytes.TrimSpace(rest)) == 0
}

// drain reads a decoder to its end.
func (c *collector) drain(d *decoder) {
	for {
		f, err := d.next()
		if err != nil {
			break // io.EOF: damage is in the decoder's account
		}
		c.take(d, f)
	}
	c.account(d)
}

func (c *collector) takeQueue(d *decoder) {
	for _, f := range d.queue {
		c.take(d, f)
	}
	d.queue = nil
}

func (c *collector) take(d *decoder, f found) {
	switch {
	case f.log != "":
		if err := readSection(f.log, scanLines{d.scan}, c.limits, c.keepLog); err != nil {
			d.miss(f.line, fmt.Sprintf("the log that begins here ends early: %v", err))
		}
	case f.object == nil: // a bookmark or an error of a watch says nothing about the state
	case f.event == Deleted:
		c.objects.Remove(f.object)
	default:
		c.objects.Put(f.object)
	}
}

func (c *collector) account(d *decoder) {
	c.understood += d.understood
	for _, m := range d.losses() {
		c.miss(m.What, m.Why)
	}
}

// keepLog keeps a log as long as all of them together stay in their bound.
func (c *collector) keepLog(key logKey, log record.Log) {
	n := int64(0)
	for _, line := range log.Lines {
		n += int64(len(line)) + 16 // a string's own size
	}
	if n > c.logsLeft {
		c.miss(fmt.Sprintf("log of container %s of pod %s/%s", key.container, key.namespace, key.pod),
			fmt.Sprintf("the dump holds more than %s of log tails", size(c.limits.AllLogs)))
		return
	}
	c.logsLeft -= n
	c.objects.putLog(key, log)
}

// maxMissing bounds how much of a dump is named as missing; the rest is counted.
const maxMissing = 500

func (c *collector) miss(what, why string) {
	if len(c.missing) >= maxMissing {
		c.unnamed++
		return
	}
	c.missing = append(c.missing, record.Missing{What: what, Why: why})
}
