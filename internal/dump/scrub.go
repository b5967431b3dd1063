package dump

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// removed stands in place of a value that is never kept.
const removed = "[removed]"

// maxAnnotation is the length beyond which the value of an annotation is not kept: longer
// ones are configuration of some tool, in a form that is not known here.
const maxAnnotation = 256

// value returns a part of an API object without its secrets; key is the name of the
// field that it is in. The parts of an object are maps, slices and values of JSON.
func (b *bundle) value(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		return b.fields(key, v)
	case []any:
		return b.elements(key, v)
	case string:
		return b.text(v)
	default:
		return v
	}
}

func (b *bundle) fields(key string, in map[string]any) map[string]any {
	out := make(map[string]any, len(in))
	for k, v := range in {
		switch text, isText := v.(string); {
		case k == "managedFields", k == "data" || k == "stringData" || k == "binaryData":
		case key == "annotations":
			b.annotation(out, k, text)
		case (key == "volumeAttributes" || key == "options") && isText:
			// Parameters of a driver, whatever they are.
			out[k] = removed
		default:
			out[k] = b.value(k, v)
		}
	}
	return out
}

func (b *bundle) annotation(out map[string]any, key, value string) {
	switch {
	case key == corev1.LastAppliedConfigAnnotation:
	case len(value) > maxAnnotation:
		out[key] = removed
	default:
		// With its key, as a setting whose name tells what it is.
		line := b.text(key + "=" + value)
		if after, ok := strings.CutPrefix(line, key+"="); ok {
			out[key] = after
		} else {
			out[key] = removed
		}
	}
}

func (b *bundle) elements(key string, in []any) []any {
	out := make([]any, 0, len(in))
	before := ""
	for _, v := range in {
		switch item := v.(type) {
		case map[string]any:
			fields := b.fields("", item)
			if _, has := fields["value"]; has && (key == "env" || key == "httpHeaders") {
				fields["value"] = removed
			}
			out = append(out, fields)
		case string:
			if key == "command" || key == "args" {
				out = append(out, b.argument(before, item))
			} else {
				out = append(out, b.text(item))
			}
			before = item
		default:
			out = append(out, b.value(key, v))
		}
	}
	return out
}

// argument redacts one word of a command line: by itself, and as the value of the flag
// before it.
func (b *bundle) argument(before, word string) string {
	alone := b.text(word)
	if !strings.HasPrefix(before, "-") || strings.ContainsAny(before, "= \n") || word == "" {
		return alone
	}
	if pair := b.text(before + "=" + word); pair != before+"="+word && alone == word {
		return removed
	}
	return alone
}

// text redacts a text of any number of lines.
func (b *bundle) text(s string) string {
	if s == "" {
		return s
	}
	lines, n := b.redactor.Lines(strings.Split(s, "\n"))
	if n == 0 {
		return s
	}
	return strings.Join(lines, "\n")
}
