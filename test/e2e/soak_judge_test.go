//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// judge compares what whyrestart lists with what was planted: an issue of each planted
// failure, and no other failure.
func (k *soak) judge() {
	k.t.Helper()
	for _, c := range k.records.complaints() {
		k.t.Error(c)
	}
	doc, err := k.program.issues(k.ctx, "-A", "--category", "failure", "--state", "all", "--unfold")
	k.must(err, "list the issues")
	of := map[string]*plant{} // by the issue's ID
	for _, p := range k.planted {
		var ids []string
		for i := range doc.Issues {
			if p.has(&doc.Issues[i]) {
				ids = append(ids, doc.Issues[i].ID)
				of[doc.Issues[i].ID] = p
				p.pods = len(doc.Issues[i].Pods.Values)
			}
		}
		if len(ids) != 1 {
			k.t.Errorf("%s: %s: there has to be one issue of %s, and there are %d: %v", &p.member, p.truth, p.cause, len(ids), ids)
		}
		p.issue = strings.Join(ids, " ")
	}
	for i := range doc.Issues {
		if is := &doc.Issues[i]; of[is.ID] == nil {
			k.t.Errorf("nobody planted issue %s: %s %s/%s container %q, %s %s, %d times: %s\n%s", is.ID, is.Workload.Kind, is.Namespace, is.Workload.Name,
				is.Container, is.Cause, is.Detail, is.Count, is.Summary, k.program.say("explain", is.ID))
		}
	}
	counts := k.judgeRecords(of)
	k.judgeChanges(doc)
	k.write(doc, counts)
}

// has tells whether an issue is that of the planted failure.
func (p *plant) has(is *issue.Issue) bool {
	return is.Namespace == p.namespace && is.Workload.Kind == p.member.kind && is.Workload.Name == p.name &&
		is.Container == p.container && is.Kind == p.kind && is.Cause == p.cause && is.Category == record.Failure &&
		(p.detail == "*" || slices.Contains(strings.Split(p.detail, "|"), is.Detail))
}

// judgeRecords complains about every single record of a failure that belongs to no issue of
// a planted one, and holds the counts of the issues against the records. It returns how many records there are of each category.
func (k *soak) judgeRecords(of map[string]*plant) map[record.Category]int {
	k.t.Helper()
	doc, err := k.program.list(k.ctx)
	k.must(err, "list the records")
	counts := map[record.Category]int{}
	strays := map[string]int{}
	for i := range doc.Findings {
		r := &doc.Findings[i]
		counts[r.Category]++
		switch {
		case r.Issue == nil:
			k.t.Errorf("it belongs to no issue: %s", evidenceOf(r))
		case r.Category != record.Failure:
		case of[r.Issue.ID] == nil:
			if strays[r.Issue.ID]++; strays[r.Issue.ID] <= 3 {
				k.t.Errorf("nobody planted this, of issue %s: %s", r.Issue.ID, evidenceOf(r))
			}
		default:
			of[r.Issue.ID].told++
		}
	}
	return counts
}

// judgeChanges holds that what was rolled out is named as what changed before.
func (k *soak) judgeChanges(doc issue.Document) {
	k.t.Helper()
	for i := range doc.Issues {
		is := &doc.Issues[i]
		for _, p := range k.planted {
			if p.issue != is.ID || p.changed == "" {
				continue
			}
			if !slices.ContainsFunc(is.Changes, func(c record.Change) bool {
				return c.Kind == record.ChangeRollout && slices.ContainsFunc(c.Fields, func(f record.FieldChange) bool { return strings.HasPrefix(f.Field, p.changed) })
			}) {
				k.t.Errorf("issue %s of %s began when a rollout changed %s; it names the changes %+v", is.ID, &p.member, p.changed, is.Changes)
			}
		}
	}
}

// evidenceOf says in a few lines what a record is and why.
func evidenceOf(r *record.Record) string {
	var b strings.Builder
	workload := "no workload"
	if r.Workload != nil {
		workload = r.Workload.Kind + "/" + r.Workload.Name
	}
	fmt.Fprintf(&b, "%s %s of %s/%s/%s (%s): %s: %s", r.Kind, r.ID, r.Namespace, r.Pod, r.Container, workload, answerOf(*r), r.Diagnosis.Summary)
	for _, e := range r.Diagnosis.Evidence {
		fmt.Fprintf(&b, "\n    %s %s: %s", e.Object, e.Field, e.Value)
	}
	return b.String()
}

// issues returns the issues and incidents that the store holds, by whyrestart's own command.
func (p *program) issues(ctx context.Context, args ...string) (issue.Document, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, p.bin, append([]string{"list", "--store", p.store, "-o", "json"}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var doc issue.Document
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != nothingFound) {
		return doc, fmt.Errorf("whyrestart list: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	if err := json.Unmarshal(stdout.Bytes(), &doc); err != nil {
		return doc, fmt.Errorf("whyrestart list printed no document: %w", err)
	}
	if doc.Schema != record.Schema {
		return doc, fmt.Errorf("whyrestart list printed the schema %q, not %q", doc.Schema, record.Schema)
	}
	return doc, nil
}

// nothingFound is the exit code of list where there is nothing to list.
const nothingFound = 2

// say returns what a command prints to a person.
func (p *program) say(command string, args ...string) string {
	out, err := exec.Command(p.bin, append([]string{command, "--store", p.store}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s\n(%v)", out, err)
	}
	return string(out)
}

// peak returns the most memory that whyrestart has had, as the kernel tells it.
func (p *program) peak() string {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// write writes the report where the environment asks for one.
func (k *soak) write(doc issue.Document, counts map[record.Category]int) {
	k.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "# Soak\n\n")
	fmt.Fprintf(&b, "Written by `make soak`: %s of changes on a real cluster (Kubernetes v1.37.1; one real node, %d nodes of kwok), with `whyrestart serve` beside it.\n\n", k.lasts, soakNodes)
	fmt.Fprintf(&b, "| | |\n|---|---|\n")
	fmt.Fprintf(&b, "| workloads | %d: Deployments, StatefulSets, DaemonSets, Jobs and CronJobs, with sidecars and init containers |\n", len(k.fleet)+len(k.planted))
	changes := 0
	var kinds []string
	for name, n := range k.did {
		changes += n
		kinds = append(kinds, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(kinds)
	fmt.Fprintf(&b, "| changes | %d, seed %d: %s |\n", changes, k.seed, strings.Join(kinds, ", "))
	fmt.Fprintf(&b, "| stops and stalls recorded | %d failures, %d disruptions, %d lifecycle |\n", counts[record.Failure], counts[record.Disruption], counts[record.Lifecycle])
	if peak := k.program.peak(); peak != "" {
		fmt.Fprintf(&b, "| memory of whyrestart at its peak | %s |\n", peak)
	}
	fmt.Fprintf(&b, "| failures planted | %d |\n| failure issues | %d |\n\n", len(k.planted), len(doc.Issues))
	fmt.Fprintf(&b, "| planted in | container | what was done | after | issue | cause | records | pods | rollouts since |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, p := range k.planted {
		container, cause := p.container, p.cause
		if container == "" {
			container = "(the pod)"
		}
		if detail, _, _ := strings.Cut(p.detail, "|"); detail != "" && detail != "*" {
			cause += ", " + detail
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %d | %d | %d |\n", &p.member, container, p.truth, p.at.Sub(k.began).Round(time.Second), p.issue, cause, p.told, p.pods, p.rolled)
	}
	fmt.Fprintf(&b, "\n## whyrestart list -A --category failure\n\n```\n%s```\n", k.program.say("list", "-A", "--category", "failure"))
	fmt.Fprintf(&b, "\n## whyrestart list -A\n\n```\n%s```\n", k.program.say("list", "-A"))
	for _, p := range k.planted[:2] {
		fmt.Fprintf(&b, "\n## whyrestart explain %s\n\n```\n%s```\n", p.issue, k.program.say("explain", p.issue))
	}
	file := os.Getenv("WHYRESTART_SOAK_REPORT")
	if file == "" {
		k.t.Log("\n" + b.String())
		return
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		k.t.Error(err)
	}
	k.say("the report is in %s", file)
}
