//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// accuracy collects what was true, what whyrestart said, and what kubectl showed.
type accuracy struct {
	// file is where the table goes, empty where nobody wants it.
	file    string
	kubectl string

	mu   sync.Mutex
	rows []accuracyRow
}

// accuracyRow is one claim of a scenario.
type accuracyRow struct {
	scenario, of, truth, want, answer string
	get, describe                     string
	verdict                           accuracyVerdict
}

type accuracyVerdict string

const (
	verdictRight   accuracyVerdict = "right"
	verdictUnknown accuracyVerdict = "unknown" // which is the honest answer
	verdictWrong   accuracyVerdict = "wrong"
	verdictQuiet   accuracyVerdict = "right, nothing" // there was nothing to tell
)

// newAccuracy reads the environment.
func newAccuracy() *accuracy {
	a := &accuracy{file: os.Getenv("WHYRESTART_E2E_ACCURACY")}
	if a.file == "" {
		return a
	}
	a.kubectl = kubectlPath()
	return a
}

// add takes how the claims of a scenario came out.
func (a *accuracy) add(s *space, outcomes []outcome, strays []record.Record) {
	var rows []accuracyRow
	scenario := strings.TrimPrefix(s.ns, prefix)
	var view podViews
	if a.file != "" {
		view = a.look(s.ctx, s.ns)
	}
	for _, o := range outcomes {
		if o.claim.optional && len(o.found) == 0 {
			continue
		}
		row := accuracyRow{scenario: scenario, of: o.claim.of, truth: o.claim.truth, want: o.claim.String(), verdict: verdictRight}
		switch {
		case len(o.wrong) > 0:
			row.answer, row.verdict = answerOf(o.wrong[len(o.wrong)-1]), verdictWrong
		case len(o.found) == 0:
			row.answer, row.verdict = "nothing", verdictWrong
		default:
			r := o.found[len(o.found)-1]
			row.answer = answerOf(r)
			if r.Diagnosis.Confidence == record.Unknown {
				row.verdict = verdictUnknown
			}
		}
		row.get, row.describe = view.of(o.claim.of, o.found)
		rows = append(rows, row)
	}
	for _, r := range strays {
		row := accuracyRow{scenario: scenario, of: r.Pod + "/" + r.Container, truth: "nothing of the kind happened", want: "nothing", answer: answerOf(r), verdict: verdictWrong}
		row.get, row.describe = view.of(row.of, []record.Record{r})
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		row := accuracyRow{scenario: scenario, truth: "nothing is wrong", want: "nothing", answer: "nothing", verdict: verdictQuiet}
		row.get, row.describe = view.all()
		rows = append(rows, row)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rows = append(a.rows, rows...)
}

// podViews is what kubectl shows of the pods of a namespace.
type podViews []podView

// podView is one pod.
type podView struct {
	name, status, pod string
	containers        map[string]string
}

// look asks kubectl, as a person would.
func (a *accuracy) look(ctx context.Context, namespace string) podViews {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	run := func(args ...string) []byte {
		var out bytes.Buffer
		cmd := exec.CommandContext(ctx, a.kubectl, append([]string{"-n", namespace}, args...)...)
		cmd.Stdout = &out
		if err := cmd.Run(); err != nil {
			return nil
		}
		return out.Bytes()
	}
	views := parseDescribe(string(run("describe", "pods", "--show-events=false")))
	for line := range strings.Lines(string(run("get", "pods", "--no-headers"))) {
		fields := strings.Fields(line)
		if len(fields) < 4 {
			continue
		}
		i := slices.IndexFunc(views, func(v podView) bool { return v.name == fields[0] })
		if i < 0 {
			views = append(views, podView{name: fields[0]})
			i = len(views) - 1
		}
		views[i].status = fields[2]
		if fields[3] != "0" {
			views[i].status += ", " + fields[3] + " restarts"
		}
	}
	return views
}

// parseDescribe reads the states out of what "kubectl describe pods" prints.
func parseDescribe(text string) podViews {
	var views podViews
	var container, state string
	containers := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		indent := len(line) - len(strings.TrimLeft(line, " "))
		key, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		if !ok {
			continue
		}
		switch {
		case indent == 0 && key == "Name":
			views = append(views, podView{name: value, containers: map[string]string{}})
			containers = false
		case len(views) == 0:
		case indent == 0:
			containers = strings.HasSuffix(key, "ontainers")
			if v := &views[len(views)-1]; key == "Reason" || key == "Message" && v.pod != "" {
				v.pod = strings.TrimPrefix(v.pod+": "+cut(value, 60), ": ")
			}
		case containers && indent == 2:
			container = key
		case containers && indent == 4:
			state = ""
			if key == "State" || key == "Last State" {
				state = key
				v := &views[len(views)-1]
				if v.containers[container] != "" {
					v.containers[container] += "; "
				}
				v.containers[container] += map[string]string{"State": "", "Last State": "last "}[key] + value
			}
		case containers && indent == 6 && state != "" && (key == "Reason" || key == "Exit Code"):
			views[len(views)-1].containers[container] += " " + value
		}
	}
	return views
}

func cut(text string, n int) string {
	if len(text) > n {
		return text[:n] + "..."
	}
	return text
}

// of returns what kubectl get and describe show of what a claim is about.
func (views podViews) of(what string, found []record.Record) (get, describe string) {
	pod, container, _ := strings.Cut(what, "/")
	if strings.Contains(what, ":") {
		return "no pod", ""
	}
	var v *podView
	for i := range views {
		n := views[i].name
		if len(found) > 0 && n == found[len(found)-1].Pod || len(found) == 0 && (n == pod || strings.HasPrefix(n, pod+"-")) {
			v = &views[i]
		}
	}
	if v == nil {
		return "no such pod", ""
	}
	var parts []string
	if v.pod != "" {
		parts = append(parts, v.pod)
	}
	if c := v.containers[container]; c != "" {
		parts = append(parts, c)
	} else if container == "" {
		for _, c := range sortedKeys(v.containers) {
			parts = append(parts, c+" "+v.containers[c])
		}
	}
	return v.status, strings.Join(parts, "; ")
}

// all returns what kubectl shows of all pods.
func (views podViews) all() (get, describe string) {
	var statuses []string
	for _, v := range views {
		if !slices.Contains(statuses, v.status) {
			statuses = append(statuses, v.status)
		}
	}
	return strings.Join(statuses, "; "), ""
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// sums counts the rows by how they came out, and the scenarios.
func (a *accuracy) sums() (scenarios int, by map[accuracyVerdict]int, overclaimed int) {
	by = map[accuracyVerdict]int{}
	names := map[string]bool{}
	for _, r := range a.rows {
		names[r.scenario] = true
		by[r.verdict]++
		if r.verdict == verdictWrong && strings.HasSuffix(r.answer, ", "+string(record.Confirmed)) {
			overclaimed++
		}
	}
	return len(names), by, overclaimed
}

// summary says in a line how the comparison came out.
func (a *accuracy) summary() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	scenarios, by, overclaimed := a.sums()
	return fmt.Sprintf("explained: %d scenarios, %d truths: %d right, %d honestly unknown, %d wrong (%d of them said to be confirmed)",
		scenarios, len(a.rows), by[verdictRight]+by[verdictQuiet], by[verdictUnknown], by[verdictWrong], overclaimed)
}

// write writes the table where somebody wants it.
func (a *accuracy) write() error {
	if a.file == "" {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	slices.SortStableFunc(a.rows, func(x, y accuracyRow) int {
		return cmp.Or(cmp.Compare(x.scenario, y.scenario), cmp.Compare(x.of, y.of))
	})
	scenarios, by, overclaimed := a.sums()
	var b strings.Builder
	b.WriteString(accuracyHead)
	fmt.Fprintf(&b, "| | |\n|---|---|\n| scenarios | %d |\n| things to explain, or to keep quiet about | %d |\n| right | %d |\n| unknown, where the API does not tell | %d |\n| wrong | %d |\n| of these, said to be confirmed | %d |\n\n",
		scenarios, len(a.rows), by[verdictRight]+by[verdictQuiet], by[verdictUnknown], by[verdictWrong], overclaimed)
	b.WriteString("| scenario | object | what was done | whyrestart says | | kubectl get | kubectl describe |\n|---|---|---|---|---|---|---|\n")
	last := ""
	for _, r := range a.rows {
		scenario := r.scenario
		if scenario == last {
			scenario = ""
		}
		last = r.scenario
		answer := r.answer
		if r.verdict == verdictWrong {
			answer += "; true is " + r.want
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", cell(scenario), cell(r.of), cell(r.truth), cell(answer), cell(string(r.verdict)), cell(r.get), cell(r.describe))
	}
	if err := os.WriteFile(a.file, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write the table of what was explained: %w", err)
	}
	return nil
}

// cell makes a text fit for a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(text)
}

const accuracyHead = `# How often it is right

Written by the end-to-end suite (` + "`make accuracy`" + `), which provokes each of these on a real cluster of one node, and knows the
truth because it did it. Where several containers or stops have the same truth, a row stands for all of them.

- **whyrestart says** cause/detail, category, confidence; it is right only where all four are.
- **unknown** is the right answer where the API does not carry the cause, as for a program that exits with 137 by itself.
- **kubectl** is what it showed of the same object at the moment of the comparison: the STATUS of ` + "`get`" + `, and the states and
  reasons of ` + "`describe`" + `. "no such pod": it was gone by then.

`
