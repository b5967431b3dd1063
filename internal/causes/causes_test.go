package causes_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/causes"
)

var snake = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// TestCatalog checks that the catalog is whole: nothing twice, nothing without words, no
// name of a cause that does not exist.
func TestCatalog(t *testing.T) {
	known := make(map[string]bool)
	for _, c := range causes.All() {
		if !snake.MatchString(c.Code) || known[c.Code] {
			t.Errorf("cause %q: no code, or there twice", c.Code)
		}
		known[c.Code] = true
		if c.Title == "" || c.Meaning == "" || len(c.Proof) == 0 || len(c.Check) == 0 || len(c.Fix) == 0 {
			t.Errorf("%s says too little", c.Code)
		}
		if strings.HasSuffix(c.Title, ".") || !strings.HasSuffix(c.Meaning, ".") {
			t.Errorf("%s: a title has no full stop, a meaning has one", c.Code)
		}
		if !slices.Contains([]string{"failure", "disruption", "lifecycle"}, c.Category) {
			t.Errorf("%s: category %q", c.Code, c.Category)
		}
		details := make(map[string]bool)
		for _, d := range c.Details {
			if d.Code == "" || d.Meaning == "" || details[d.Code] {
				t.Errorf("%s: detail %q says nothing, or is there twice", c.Code, d.Code)
			}
			details[d.Code] = true
		}
	}
	type name struct {
		kind causes.Kind
		name string
	}
	names := make(map[name]bool)
	for _, r := range causes.Reasons() {
		for _, n := range append([]string{r.Name}, r.Also...) {
			if k := (name{r.Kind, strings.ToLower(n)}); names[k] {
				t.Errorf("%s %s is there twice", r.Kind, n)
			} else {
				names[k] = true
			}
		}
		if !strings.HasSuffix(r.Meaning, ".") || r.Not != "" && !strings.HasSuffix(r.Not, ".") {
			t.Errorf("%s %s: a sentence ends with a full stop", r.Kind, r.Name)
		}
		if len(r.Causes) == 0 {
			t.Errorf("%s %s leads nowhere", r.Kind, r.Name)
		}
		for _, c := range r.Causes {
			if !known[c] {
				t.Errorf("%s %s leads to %q, which is no cause", r.Kind, r.Name, c)
			}
		}
	}
}

// TestContract checks that every cause that other programs may rely on is there. The list
// is the contract's (docs/design.md): it may grow, and nothing in it may go.
func TestContract(t *testing.T) {
	for _, code := range strings.Fields(`
		app_exit app_completed app_signal command_not_found command_not_executable exec_format_error start_error oom_killed
		liveness_probe startup_probe post_start_hook definition_changed resize_restart restart_all_containers sandbox_changed
		runtime_restarted status_unknown sigkill_unattributed sigterm_unattributed pod_deleted grace_period_exceeded
		eviction_api node_pressure_eviction storage_limit_eviction preempted kubelet_preempted taint_eviction node_shutdown
		pod_gc deadline_exceeded sidecar_stopped completed unknown
		image_not_found image_pull_auth image_registry_unreachable image_rate_limited image_platform_mismatch image_invalid_name
		image_never_pull image_pull_failed missing_configmap missing_secret missing_key run_as_non_root container_create_failed
		volume_mount_failed volume_attach_failed sandbox_failed unschedulable scheduling_gated not_scheduled admission_rejected
		pod_not_created init_not_finished readiness_probe readiness_gate node_lost terminating_stuck`) {
		if !causes.Known(code, "") {
			t.Errorf("%s is missing", code)
		}
	}
	for _, pair := range []string{
		"app_exit port_in_use", "app_exit leader_election_lost", "app_signal SIGSEGV", "oom_killed container_limit", "oom_killed child_process",
		"liveness_probe http_503", "runtime_restarted node_reboot", "pod_deleted rollout", "grace_period_exceeded direct", "unschedulable insufficient_cpu",
		"unschedulable insufficient_nvidia.com/gpu", "admission_rejected OutOfcpu", "terminating_stuck example.com/finalizer", "init_not_finished migrate",
	} {
		cause, detail, _ := strings.Cut(pair, " ")
		if !causes.Known(cause, detail) {
			t.Errorf("%s has no detail %s", cause, detail)
		}
	}
	for _, pair := range []string{"oom_killed nothing", "nothing port_in_use", "liveness_probe http"} {
		cause, detail, _ := strings.Cut(pair, " ")
		if causes.Known(cause, detail) {
			t.Errorf("%s has a detail %s", cause, detail)
		}
	}
}

func TestLookup(t *testing.T) {
	tests := []struct {
		word string
		want []string
	}{
		{"137", []string{"exit code 137"}},
		{"exit 137", []string{"exit code 137"}},
		{"Exit Code: 137", []string{"exit code 137"}},
		{"SIGKILL", []string{"exit code 137"}},
		{"sigterm", []string{"exit code 143"}},
		{"OOMKilled", []string{"cause oom_killed", "terminated reason OOMKilled"}},
		{"oom_killed", []string{"cause oom_killed", "terminated reason OOMKilled"}},
		{"oomkilled", []string{"cause oom_killed", "terminated reason OOMKilled"}},
		{"crashloopbackoff", []string{"waiting reason CrashLoopBackOff"}},
		{"Init:CrashLoopBackOff", []string{"waiting reason CrashLoopBackOff"}},
		{"DeadlineExceeded", []string{"cause deadline_exceeded", "pod reason DeadlineExceeded", "detail deadline_exceeded"}},
		{"port_in_use", []string{"detail port_in_use"}},
		{"SIGSEGV", []string{"exit code 139", "detail SIGSEGV"}},
		{"http_503", []string{"detail http_NNN", "detail http_NNN"}},
		{"insufficient_cpu", []string{"detail insufficient_RESOURCE"}},
		{"OutOfcpu", []string{"pod reason UnexpectedAdmissionError", "detail OutOfcpu"}},
		{"3", []string{"exit code 3"}},
		{"78", []string{"exit code 78"}},
		{"-1", []string{"exit code 255"}},
		{"ignores_sigterm", []string{"advice ignores_sigterm"}},
		{"", nil},
		{"nonsense", nil},
		{"-5", nil},
	}
	for _, tt := range tests {
		t.Run(tt.word, func(t *testing.T) {
			var got []string
			for _, e := range causes.Lookup(tt.word) {
				got = append(got, string(e.Kind)+" "+e.Name())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, e := range causes.Lookup("timeout") {
		if e.Kind == causes.KindDetail && len(e.Of) == 0 {
			t.Errorf("a detail of no cause: %+v", e.Detail)
		}
	}
}

func TestNearest(t *testing.T) {
	tests := []struct{ word, want string }{
		{"OOMKiled", "oom_killed"},
		{"CrashLoop", "CrashLoopBackOff"},
		{"livness_probe", "liveness_probe"},
		{"ImagePulBackOff", "ImagePullBackOff"},
		{"unschedulabel", "unschedulable"},
	}
	for _, tt := range tests {
		got := causes.Nearest(tt.word)
		if !slices.ContainsFunc(got, func(s string) bool { return strings.EqualFold(s, tt.want) }) || len(got) > 5 {
			t.Errorf("Nearest(%q) = %q, want %s among them", tt.word, got, tt.want)
		}
	}
	if got := causes.Nearest("zzzzzzzzzzz"); len(got) > 0 {
		t.Errorf("nothing is near to zzzzzzzzzzz, and not %q", got)
	}
}
