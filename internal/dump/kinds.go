package dump

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/whyrestart/whyrestart/internal/extract"
)

// kindOf names what an object is. The version is left out: what is read here has
// had one shape in every version that is still served.
type kindOf struct {
	kind, group string
}

func parseKind(apiVersion, kind string) kindOf {
	group, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		group = ""
	}
	return kindOf{kind, group}
}

// item returns the kind of the items of a typed list, the zero kindOf for a mixed one.
func (k kindOf) item() kindOf {
	name, ok := strings.CutSuffix(k.kind, "List")
	if !ok || name == "" {
		return kindOf{}
	}
	return kindOf{name, k.group}
}

// kindOfPath tells from a file's name, or that of the folder it is in, what the
// objects in it are that do not say so themselves.
func kindOfPath(name string) kindOf {
	base, _, _ := strings.Cut(path.Base(name), ".")
	folder := path.Base(path.Dir(name))
	words := []string{base, folder}
	if path.Base(path.Dir(path.Dir(name))) == "cluster-resources" {
		words = []string{folder} // of a Troubleshoot bundle, whose files are named for namespaces
	}
	for _, word := range words {
		switch word {
		case "pods":
			return kindOf{"Pod", ""}
		case "events":
			return kindOf{"Event", ""}
		case "namespaces":
			return kindOf{"Namespace", ""}
		case "replicationcontrollers", "replication-controllers":
			return kindOf{"ReplicationController", ""}
		case "nodes":
			return kindOf{"Node", ""}
		case "persistentvolumeclaims", "pvcs":
			return kindOf{"PersistentVolumeClaim", ""}
		case "replicasets":
			return kindOf{"ReplicaSet", "apps"}
		case "deployments":
			return kindOf{"Deployment", "apps"}
		case "statefulsets":
			return kindOf{"StatefulSet", "apps"}
		case "daemonsets":
			return kindOf{"DaemonSet", "apps"}
		case "controllerrevisions":
			return kindOf{kindControllerRevision, "apps"}
		case "configmaps":
			return kindOf{kindConfigMap, ""}
		case "jobs":
			return kindOf{"Job", "batch"}
		case "cronjobs":
			return kindOf{"CronJob", "batch"}
		}
	}
	return kindOf{}
}

// Object is one of the API objects that are read: a pointer to a Pod, Event, Node, Namespace,
// PersistentVolumeClaim, ReplicaSet, Deployment, StatefulSet, DaemonSet, ControllerRevision, Job, CronJob
// or ReplicationController, or to the metadata of a ConfigMap, whose data is not read.
type Object = interface {
	metav1.Object
	runtime.Object
}

// decodeObject decodes an object of a kind that is read, and returns nil for any other.
func decodeObject(k kindOf, raw []byte) (Object, error) {
	switch k {
	case kindOf{"Pod", ""}:
		return decodeAs[corev1.Pod](k, raw)
	case kindOf{"Event", ""}:
		return decodeAs[corev1.Event](k, raw)
	case kindOf{"Event", "events.k8s.io"}:
		return decodeNewEvent(k, raw)
	case kindOf{"Node", ""}:
		return decodeAs[corev1.Node](k, raw)
	case kindOf{"PersistentVolumeClaim", ""}:
		return decodeAs[corev1.PersistentVolumeClaim](k, raw)
	case kindOf{"Namespace", ""}:
		return decodeAs[corev1.Namespace](k, raw)
	case kindOf{"ReplicationController", ""}:
		return decodeAs[corev1.ReplicationController](k, raw)
	case kindOf{"ReplicaSet", "apps"}:
		return decodeAs[appsv1.ReplicaSet](k, raw)
	case kindOf{"Deployment", "apps"}:
		return decodeAs[appsv1.Deployment](k, raw)
	case kindOf{"StatefulSet", "apps"}:
		return decodeAs[appsv1.StatefulSet](k, raw)
	case kindOf{"DaemonSet", "apps"}:
		return decodeAs[appsv1.DaemonSet](k, raw)
	case kindOf{kindControllerRevision, "apps"}:
		return decodeAs[appsv1.ControllerRevision](k, raw)
	case kindOf{kindConfigMap, ""}:
		return decodeAs[metav1.PartialObjectMetadata](k, raw)
	case kindOf{"Job", "batch"}:
		return decodeAs[batchv1.Job](k, raw)
	case kindOf{"CronJob", "batch"}:
		return decodeAs[batchv1.CronJob](k, raw)
	}
	return nil, nil
}

var errNoName = errors.New("it has no name")

func decodeAs[T any, P interface {
	*T
	Object
}](k kindOf, raw []byte) (Object, error) {
	obj := P(new(T))
	if err := json.Unmarshal(raw, obj); err != nil {
		return nil, fmt.Errorf("decode a %s: %w", k.kind, err)
	}
	if obj.GetName() == "" {
		return nil, fmt.Errorf("decode a %s: %w", k.kind, errNoName)
	}
	// The items of a typed list do not say what they are; every kind here is read as v1.
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{Group: k.group, Version: "v1", Kind: k.kind})
	if k.kind == kindConfigMap {
		obj.SetAnnotations(nil) // kubectl keeps the data that it applied last in one
	}
	last := lastWrite(obj.GetManagedFields())
	extract.KeepWrites(obj)
	obj.SetManagedFields(append(obj.GetManagedFields(), last...))
	if obj.GetUID() == "" {
		// Dumps that were cleaned by hand have none. What is keyed by it must still tell
		// two objects apart.
		obj.SetUID(madeUID(k.kind, obj.GetNamespace(), obj.GetName()))
	}
	return obj, nil
}

// lastWrite returns what managed fields are read for in every object: when it was written last, by nobody.
func lastWrite(all []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	var newest *metav1.Time
	for i := range all {
		if t := all[i].Time; t != nil && (newest == nil || newest.Before(t)) {
			newest = t
		}
	}
	if newest == nil {
		return nil
	}
	return []metav1.ManagedFieldsEntry{{Time: newest}}
}

// decodeNewEvent decodes an event as the events.k8s.io API shows it to the shape that the core API gives the same object.
func decodeNewEvent(k kindOf, raw []byte) (Object, error) {
	obj, err := decodeAs[eventsv1.Event](k, raw)
	if err != nil {
		return nil, err
	}
	e := obj.(*eventsv1.Event) //nolint:errcheck,forcetypeassert // decodeAs made it
	core := &corev1.Event{
		TypeMeta:            metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
		ObjectMeta:          e.ObjectMeta,
		InvolvedObject:      e.Regarding,
		Reason:              e.Reason,
		Message:             e.Note,
		Source:              e.DeprecatedSource,
		FirstTimestamp:      e.DeprecatedFirstTimestamp,
		LastTimestamp:       e.DeprecatedLastTimestamp,
		Count:               e.DeprecatedCount,
		Type:                e.Type,
		EventTime:           e.EventTime,
		Action:              e.Action,
		Related:             e.Related,
		ReportingController: e.ReportingController,
		ReportingInstance:   e.ReportingInstance,
	}
	if e.Series != nil {
		core.Series = &corev1.EventSeries{Count: e.Series.Count, LastObservedTime: e.Series.LastObservedTime}
	}
	return core, nil
}
