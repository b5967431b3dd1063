package issue

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/whyrestart/whyrestart/internal/record"
)

// version is that of the rules by which fingerprints are made. Who changes what KeyOf or
// Fingerprint give for any record has to count it up: IDs are stored, and known to people.
const version = 1

// Bounds of what comes from the cluster. The API bounds names at 253 bytes itself.
const (
	maxName = 256
	maxText = 512
)

// KeyOf returns the key of the issue that a record belongs to by itself.
//
// It is a function of the record alone, and nothing that changes from one stop to the next is in
// it: no pod, node, tag, hash or time. A pod without a controller is its own workload, or, where the
// API server made up the end of its name (metadata.generateName), one of "run-*"; the
// name of one that a kubelet runs from a file ends with that of its node (kubelet,
// pkg/kubelet/config/common.go, generatePodName), which is cut off.
func KeyOf(r *record.Record) Key {
	k := Key{
		Version:   version,
		Cluster:   cut(r.Cluster, maxName),
		Namespace: cut(r.Namespace, maxName),
		Workload:  workloadOf(r),
		Group:     cut(r.Group, maxName),
		Container: cut(r.Container, maxName),
		Kind:      kindOf(r),
		Cause:     cut(r.Diagnosis.Cause, maxName),
	}
	if k.Cause == "app_exit" {
		k.Signature = cut(r.Diagnosis.Signature, maxText)
		if r.Stop != nil && r.ExitCode != nil {
			code := *r.ExitCode
			k.ExitCode = &code
		}
	}
	return k
}

func kindOf(r *record.Record) record.Kind {
	if r.Kind == record.KindStall || r.Kind == "" && r.Stall != nil {
		return record.KindStall
	}
	return record.KindStop
}

func workloadOf(r *record.Record) record.Workload {
	w := record.Workload{Kind: "Pod", Name: r.Pod}
	if r.Workload != nil && r.Workload.Name != "" {
		w = *r.Workload
	}
	if from := r.GenerateName; w.Kind == "Pod" && from != "" && len(w.Name) > len(from) && strings.HasPrefix(w.Name, from) {
		return record.Workload{Kind: "Pod", Name: cut(from, maxName) + "*"}
	}
	if w.Kind == "Pod" && r.Node != "" {
		if name, ok := strings.CutSuffix(w.Name, "-"+r.Node); ok && name != "" {
			w.Name = name
		}
	}
	return record.Workload{Kind: cut(w.Kind, maxName), Name: cut(w.Name, maxName)}
}

// Fingerprint is a hash of the key: 24 hexadecimal digits. It is the same for ever, on every
// machine and in every version of the program that has the key's Version.
func (k Key) Fingerprint() string {
	code := ""
	if k.ExitCode != nil {
		code = strconv.Itoa(int(*k.ExitCode))
	}
	parts := append([]string{"issue", strconv.Itoa(k.Version)}, k.place()...)
	return hash(append(parts, k.Cause, code, k.Signature)...)
}

// place is what a key says of where it is.
func (k Key) place() []string {
	parts := []string{k.Cluster, k.Namespace, "workload", k.Workload.Kind, k.Workload.Name, k.Container, string(k.Kind)}
	if k.Group != "" {
		parts[2], parts[3], parts[4] = "group", k.Group, ""
	}
	return parts
}

// kin is what a record with this key and category shares with its kin.
func (k Key) kin(c record.Category) string {
	return hash(append([]string{"kin", string(c)}, k.place()...)...)
}

// Kin is what issues share that may be one problem, with a cause that is known now and then: the
// container of a workload, the kind and the category. It changes with the issue's category.
func (i *Issue) Kin() string { return i.Key.kin(i.Category) }

// hash hashes the parts with their lengths, so that no two lists of parts run together,
// to 96 bits.
func hash(parts ...string) string {
	h := sha256.New()
	b := make([]byte, 0, 256)
	for _, p := range parts {
		b = strconv.AppendInt(b, int64(len(p)), 10)
		b = append(b, ':')
		b = append(b, p...)
	}
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// weak tells that the cause of a stop is not known as well as that of others like it may be: the
// API did not carry it, or it is "the program ended itself" with its last words unread.
//
// A status that was lost (status_unknown) is a cause of its own: the kubelet says so, and its exit
// code of 137 is made up, so that nothing makes it like the container's other ends. Nor is a stall
// weak, whose record is the same one when more is known of it: what else kept the container from
// going on, that day, says nothing about it.
func weak(r *record.Record) bool {
	d := &r.Diagnosis
	if kindOf(r) == record.KindStall || d.Cause == "status_unknown" {
		return false
	}
	if d.Confidence == record.Unknown || d.Confidence == "" || d.Cause == "" {
		return true
	}
	return d.Cause == "app_exit" && d.Signature == "" && d.Detail == "" && (r.Log == nil || len(r.Log.Lines) == 0) &&
		(r.Stop == nil || r.Message == "")
}

// cut shortens a string to at most n bytes, and makes it valid UTF-8.
func cut(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// minID is how much of a hash an ID has at least.
const minID = 6

// idOf returns the shortest ID of a hash, of at least six digits, that taken does not have.
func idOf(prefix, of string, taken func(id string) (bool, error)) (string, error) {
	of = strings.ToUpper(of)
	for n := minID; n < len(of); n++ {
		id := prefix + of[:n]
		if t, err := taken(id); err != nil || !t {
			return id, err
		}
	}
	return prefix + of, nil
}
