package dump

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/whyrestart/whyrestart/internal/pipeline"
)

// The parts of a small cluster that each tool writes in its own layout: a Deployment's
// pod whose container api was restarted, whose sidecar ended and whose init container
// had to try twice.
const (
	layoutNode      = `{"metadata":{"name":"n1","uid":"u-n1"},"status":{"nodeInfo":{"bootID":"boot-1"}}}`
	layoutNamespace = `{"metadata":{"name":"shop","uid":"u-shop"}}`
	layoutClaim     = `{"metadata":{"name":"data","namespace":"shop","uid":"u-data"},"status":{"phase":"Pending"}}`
	layoutDeploy    = `{"metadata":{"name":"web","namespace":"shop","uid":"u-web"},"spec":{"replicas":1}}`
	layoutReplicas  = `{"metadata":{"name":"web-5f6","namespace":"shop","uid":"u-web-5f6","ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"web","uid":"u-web","controller":true}]}}`
	layoutStateful  = `{"metadata":{"name":"db","namespace":"shop","uid":"u-db"}}`
	layoutDaemons   = `{"metadata":{"name":"agent","namespace":"shop","uid":"u-agent"}}`
	layoutJob       = `{"metadata":{"name":"report-1","namespace":"shop","uid":"u-report-1","ownerReferences":[{"apiVersion":"batch/v1","kind":"CronJob","name":"report","uid":"u-report","controller":true}]}}`
	layoutCron      = `{"metadata":{"name":"report","namespace":"shop","uid":"u-report"}}`
	layoutEvent     = `{"metadata":{"name":"web.1","namespace":"shop","uid":"u-event"},"involvedObject":{"kind":"Pod","namespace":"shop","name":"web-5f6-x","uid":"u-pod","fieldPath":"spec.containers{api}"},"reason":"Killing","message":"Stopping container api","count":1,"lastTimestamp":"2026-11-21T03:00:00Z"}`
	layoutPod       = `{"metadata":{"name":"web-5f6-x","namespace":"shop","uid":"u-pod","ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5f6","uid":"u-web-5f6","controller":true}]},
"spec":{"nodeName":"n1","initContainers":[{"name":"init"}],"containers":[{"name":"api"},{"name":"side"}]},
"status":{"phase":"Running",
"initContainerStatuses":[{"name":"init","restartCount":1,"containerID":"c://init2","state":{"terminated":{"exitCode":0,"containerID":"c://init2"}},"lastState":{"terminated":{"exitCode":1,"containerID":"c://init1"}}}],
"containerStatuses":[{"name":"api","restartCount":1,"containerID":"c://api2","state":{"running":{"startedAt":"2026-11-21T03:00:01Z"}},"lastState":{"terminated":{"exitCode":137,"containerID":"c://api1"}}},
{"name":"side","restartCount":0,"containerID":"c://side1","state":{"terminated":{"exitCode":2,"containerID":"c://side1"}},"lastState":{}}]}}`
)

// listJSON is a list as kubectl prints it.
func listJSON(apiVersion, kind string, items ...string) string {
	return indented(fmt.Sprintf(`{"kind":"%sList","apiVersion":"%s","metadata":{"resourceVersion":"5"},"items":[%s]}`, kind, apiVersion, strings.Join(items, ",")))
}

// arrayJSON is a list as programs print that have its items alone.
func arrayJSON(items ...string) string { return indented("[" + strings.Join(items, ",") + "]") }

func asYAML(doc string) string {
	y, err := yaml.JSONToYAML([]byte(doc))
	if err != nil {
		panic(err)
	}
	return "---\n" + string(y)
}

// itself is an object that says what it is.
func itself(apiVersion, kind, object string) string {
	var fields map[string]any
	if err := json.Unmarshal([]byte(object), &fields); err != nil {
		panic(err)
	}
	fields["apiVersion"], fields["kind"] = apiVersion, kind
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func stamped(line string) string { return "2026-11-21T03:00:00.123456789Z " + line + "\n" }

// layouts are the same cluster as each tool writes it.
func layouts() map[string]tree {
	pods := listJSON("v1", "Pod", layoutPod)
	section := func(container, text string) string {
		return fmt.Sprintf("==== START logs for container %[1]s of pod shop/web-5f6-x ====\n%[2]s==== END logs for container %[1]s of pod shop/web-5f6-x ====\n", container, text)
	}
	clusterInfo := tree{
		"nodes.json":                        listJSON("v1", "Node", layoutNode),
		"shop/events.json":                  listJSON("v1", "Event", layoutEvent),
		"shop/replication-controllers.json": listJSON("v1", "ReplicationController"),
		"shop/services.json":                listJSON("v1", "Service", `{"metadata":{"name":"web","namespace":"shop"}}`),
		"shop/daemonsets.json":              listJSON("apps/v1", "DaemonSet", layoutDaemons),
		"shop/deployments.json":             listJSON("apps/v1", "Deployment", layoutDeploy),
		"shop/replicasets.json":             listJSON("apps/v1", "ReplicaSet", layoutReplicas),
		"shop/pods.json":                    pods,
		"shop/web-5f6-x/logs.txt":           section("init", "init now\n") + section("api", "api now\n") + section("side", "side now\n"),
		// What cluster-info dump lacks, as whoever knows adds it.
		"more.json": listJSON("v1", "", itself("v1", "Namespace", layoutNamespace), itself("v1", "PersistentVolumeClaim", layoutClaim),
			itself("apps/v1", "StatefulSet", layoutStateful), itself("batch/v1", "Job", layoutJob), itself("batch/v1", "CronJob", layoutCron)),
		"shop/web-5f6-x/api-previous.log":  "api then\n",
		"shop/web-5f6-x/init-previous.log": "init then\n",
		"shop/web-5f6-x/side-previous.log": `Error from server (BadRequest): previous terminated container "side" in pod "web-5f6-x" not found` + "\n",
	}
	asYAMLs := make(tree)
	for name, content := range clusterInfo {
		if base, ok := strings.CutSuffix(name, ".json"); ok {
			name, content = base+".yaml", asYAML(content)
		}
		asYAMLs[name] = content
	}
	troubleshoot := func(list func(apiVersion, kind string, items ...string) string) tree {
		const in = "support-bundle-2026-11-21T03_00_00/cluster-resources/"
		return tree{
			"support-bundle-2026-11-21T03_00_00/version.yaml":  "apiVersion: troubleshoot.sh/v1beta2\nkind: SupportBundle\nspec:\n  versionNumber: v0.1.0\n",
			"support-bundle-2026-11-21T03_00_00/analysis.json": `[{"name":"x","severity":"debug"}]`,
			in + "nodes.json":                                 list("v1", "Node", layoutNode),
			in + "namespaces.json":                            list("v1", "Namespace", layoutNamespace),
			in + "pods-errors.json":                           `{"other":"forbidden"}`,
			in + "auth-cani-list/shop.json":                   `[{"verbs":["*"]}]`,
			in + "pods/shop.json":                             list("v1", "Pod", layoutPod),
			in + "events/shop.json":                           list("v1", "Event", layoutEvent),
			in + "pvcs/shop.json":                             list("v1", "PersistentVolumeClaim", layoutClaim),
			in + "deployments/shop.json":                      list("apps/v1", "Deployment", layoutDeploy),
			in + "replicasets/shop.json":                      list("apps/v1", "ReplicaSet", layoutReplicas),
			in + "statefulsets/shop.json":                     list("apps/v1", "StatefulSet", layoutStateful),
			in + "daemonsets/shop.json":                       list("apps/v1", "DaemonSet", layoutDaemons),
			in + "jobs/shop.json":                             list("batch/v1", "Job", layoutJob),
			in + "cronjobs/shop.json":                         list("batch/v1", "CronJob", layoutCron),
			in + "pods/logs/shop/web-5f6-x/api.log":           "api now\n",
			in + "pods/logs/shop/web-5f6-x/api-previous.log":  "api then\n",
			in + "pods/logs/shop/web-5f6-x/side.log":          "side now\n",
			in + "pods/logs/shop/web-5f6-x/init.log":          "init now\n",
			in + "pods/logs/shop/web-5f6-x/init-previous.log": "init then\n",
		}
	}
	const must = "must-gather.local.1/quay-io-openshift-sha256-1/"
	const logs = must + "namespaces/shop/pods/web-5f6-x/"
	return map[string]tree{
		"kubectl get": {
			"all.json": listJSON("v1", "", itself("v1", "Node", layoutNode), itself("v1", "Namespace", layoutNamespace), itself("v1", "Pod", layoutPod),
				itself("v1", "Event", layoutEvent), itself("v1", "PersistentVolumeClaim", layoutClaim), itself("apps/v1", "Deployment", layoutDeploy),
				itself("apps/v1", "ReplicaSet", layoutReplicas), itself("apps/v1", "StatefulSet", layoutStateful), itself("apps/v1", "DaemonSet", layoutDaemons),
				itself("batch/v1", "Job", layoutJob), itself("batch/v1", "CronJob", layoutCron)),
		},
		"cluster-info dump":         clusterInfo,
		"cluster-info dump in YAML": asYAMLs,
		"troubleshoot":              troubleshoot(listJSON),
		"troubleshoot, older":       troubleshoot(func(_, _ string, items ...string) string { return arrayJSON(items...) }),
		"must-gather": {
			must + "version": "openshift/must-gather\n4.20.0\n",
			must + "cluster-scoped-resources/core/nodes/n1.yaml":         asYAML(itself("v1", "Node", layoutNode)),
			must + "cluster-scoped-resources/config.openshift.io/x.yaml": "---\napiVersion: config.openshift.io/v1\nkind: ClusterVersion\nmetadata: {name: version}\n",
			must + "namespaces/shop/shop.yaml":                           asYAML(itself("v1", "Namespace", layoutNamespace)),
			must + "namespaces/shop/core/pods.yaml":                      asYAML(pods),
			must + "namespaces/shop/core/events.yaml":                    asYAML(listJSON("v1", "Event", layoutEvent)),
			must + "namespaces/shop/core/secrets.yaml":                   asYAML(listJSON("v1", "Secret")),
			must + "namespaces/shop/core/persistentvolumeclaims.yaml":    asYAML(listJSON("v1", "PersistentVolumeClaim", layoutClaim)),
			must + "namespaces/shop/apps/deployments.yaml":               asYAML(listJSON("apps/v1", "Deployment", layoutDeploy)),
			must + "namespaces/shop/apps/replicasets.yaml":               asYAML(listJSON("apps/v1", "ReplicaSet", layoutReplicas)),
			must + "namespaces/shop/apps/statefulsets.yaml":              asYAML(listJSON("apps/v1", "StatefulSet", layoutStateful)),
			must + "namespaces/shop/apps/daemonsets.yaml":                asYAML(listJSON("apps/v1", "DaemonSet", layoutDaemons)),
			must + "namespaces/shop/batch/jobs.yaml":                     asYAML(listJSON("batch/v1", "Job", layoutJob)),
			must + "namespaces/shop/batch/cronjobs.yaml":                 asYAML(listJSON("batch/v1", "CronJob", layoutCron)),
			logs + "web-5f6-x.yaml":                                      asYAML(itself("v1", "Pod", layoutPod)),
			logs + "api/api/logs/current.log":                            stamped("api now"),
			logs + "api/api/logs/previous.log":                           stamped("api then"),
			logs + "api/api/logs/previous.insecure.log":                  "",
			logs + "side/side/logs/current.log":                          stamped("side now"),
			logs + "side/side/logs/previous.log":                         "",
			logs + "init/init/logs/current.log":                          stamped("init now"),
			logs + "init/init/logs/previous.log":                         stamped("init then"),
			logs + "api/api/healthz/index":                               "ok",
		},
	}
}

// account words what an explanation of the pod would find in a dump.
func account(t *testing.T, d *Dump) []string {
	t.Helper()
	o := d.Objects
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, m := range d.Missing {
		say("missing %s: %s", m.What, m.Why)
	}
	node, err := o.Node(t.Context(), "n1")
	say("node %s %v", node.GetName(), err)
	ns, err := o.Namespace(t.Context(), "shop")
	say("namespace %s %v", ns.GetName(), err)
	claim, err := o.Claim(t.Context(), "shop", "data")
	say("claim %s %v", claim.GetName(), err)
	pod, err := o.Pod(t.Context(), "shop", "web-5f6-x")
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []string{"Job report-1", "StatefulSet db", "DaemonSet agent"} {
		kind, name, _ := strings.Cut(of, " ")
		apiVersion := "apps/v1"
		if kind == "Job" {
			apiVersion = "batch/v1"
		}
		m := ownedBy(named("shop", "p"), apiVersion, kind, name)
		chain, err := o.Controllers(t.Context(), &m)
		say("%s: %d controllers %v", of, len(chain), err)
	}
	chain, err := o.Controllers(t.Context(), pod)
	say("%d controllers %v", len(chain), err)
	for _, e := range o.EventsAbout(pod.UID) {
		say("event %s %s", e.Reason, e.InvolvedObject.FieldPath)
	}
	for _, id := range []string{"api c://api1", "side c://side1", "init c://init1", "init c://init2"} {
		container, id, _ := strings.Cut(id, " ")
		log := o.Tail(t.Context(), pipeline.LogRequest{Namespace: "shop", Pod: "web-5f6-x", PodUID: "u-pod", Container: container, ContainerID: id, Previous: true})
		say("log of %s %s: %q %s", container, id, log.Lines, log.Missing)
	}
	return out
}

func TestLayouts(t *testing.T) {
	objects := []string{
		"node n1 <nil>", "namespace shop <nil>", "claim data <nil>",
		"Job report-1: 2 controllers <nil>", "StatefulSet db: 1 controllers <nil>", "DaemonSet agent: 1 controllers <nil>", "2 controllers <nil>",
		"event Killing spec.containers{api}",
	}
	logs := []string{
		`log of api c://api1: ["api then"] `, `log of side c://side1: ["side now"] `,
		`log of init c://init1: ["init then"] `, `log of init c://init2: ["init now"] `,
	}
	none := []string{
		`log of api c://api1: [] no previous log of this container was recorded`, `log of side c://side1: [] no current log of this container was recorded`,
		`log of init c://init1: [] no previous log of this container was recorded`, `log of init c://init2: [] no current log of this container was recorded`,
	}
	for name, files := range layouts() {
		want := append(objects[:len(objects):len(objects)], logs...)
		if name == "kubectl get" {
			want = append(objects[:len(objects):len(objects)], none...)
		}
		check := func(t *testing.T, d *Dump, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, account(t, d)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		t.Run(name+" folder", func(t *testing.T) {
			d, err := ReadDump(t.Context(), files.folder(t), nil, Limits{})
			check(t, d, err)
		})
		t.Run(name+" archive", func(t *testing.T) {
			d, err := ReadDump(t.Context(), "-", bytes.NewReader(files.archive(t)), Limits{})
			check(t, d, err)
		})
		t.Run(name+" captured", func(t *testing.T) {
			d, err := ReadDump(t.Context(), files.folder(t), nil, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			raw := bundled(t, Contents{Objects: All[Object](d.Objects), Logs: d.Objects.Logs()})
			d, err = ReadDump(t.Context(), "-", bytes.NewReader(raw), Limits{})
			check(t, d, err)
		})
	}
	// "kubectl cluster-info dump" on standard output is all of its files in one stream.
	t.Run("cluster-info dump stream", func(t *testing.T) {
		f := layouts()["cluster-info dump"]
		stream := f["nodes.json"] + f["shop/events.json"] + f["shop/replication-controllers.json"] + f["shop/services.json"] + f["shop/daemonsets.json"] +
			f["shop/deployments.json"] + f["shop/replicasets.json"] + f["shop/pods.json"] + f["shop/web-5f6-x/logs.txt"]
		d, err := ReadDump(t.Context(), "-", strings.NewReader(stream), Limits{})
		if err != nil || len(d.Missing) > 0 {
			t.Fatalf("%v, %v", err, d)
		}
		pod, _ := ByName[*corev1.Pod](d.Objects, "shop", "web-5f6-x")
		chain, err := d.Objects.Controllers(t.Context(), pod)
		if err != nil || len(chain) != 2 {
			t.Errorf("%v, %v", chain, err)
		}
		log := d.Objects.Tail(t.Context(), pipeline.LogRequest{Namespace: "shop", Pod: "web-5f6-x", PodUID: "u-pod", Container: "side", ContainerID: "c://side1"})
		if !cmp.Equal(log.Lines, []string{"side now"}) {
			t.Errorf("got %v", log)
		}
	})
}
