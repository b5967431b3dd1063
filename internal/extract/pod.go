package extract

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Pod collects the facts of the pod itself.
func Pod(pod *corev1.Pod) evidence.Pod {
	spec, st := &pod.Spec, &pod.Status
	p := evidence.Pod{
		Namespace:       pod.Namespace,
		Name:            pod.Name,
		UID:             string(pod.UID),
		Labels:          labels(pod.Labels),
		Node:            spec.NodeName,
		Phase:           string(st.Phase),
		Reason:          clipTo(st.Reason, maxCommand),
		Message:         clip(st.Message),
		CreatedAt:       detect.KnownTime(pod.CreationTimestamp.Time),
		RestartPolicy:   string(spec.RestartPolicy),
		SchedulerName:   spec.SchedulerName,
		SchedulingGates: texts(spec.SchedulingGates, func(g corev1.PodSchedulingGate) string { return g.Name }),
		ReadinessGates:  texts(spec.ReadinessGates, func(g corev1.PodReadinessGate) string { return string(g.ConditionType) }),
		Finalizers:      texts(pod.Finalizers, func(f string) string { return f }),
		NominatedNode:   st.NominatedNodeName,
		QOSClass:        string(st.QOSClass),
		HostNetwork:     spec.HostNetwork,
		Requests:        requests(pod),
		NodeSelector:    labels(spec.NodeSelector),
		Conditions:      conditions(st.Conditions),
		Volumes:         volumes(spec.Volumes, pod.Name),
	}
	if p.SchedulerName == corev1.DefaultSchedulerName {
		p.SchedulerName = ""
	}
	if st.StartTime != nil {
		p.StartedAt = detect.KnownTime(st.StartTime.Time)
	}
	if pod.DeletionTimestamp != nil {
		p.DeletionTimestamp = detect.KnownTime(pod.DeletionTimestamp.Time)
	}
	if g := pod.DeletionGracePeriodSeconds; g != nil {
		p.DeletionGraceSeconds = *g
	}
	if g := spec.TerminationGracePeriodSeconds; g != nil {
		p.TerminationGraceSeconds = *g
	}
	if d := spec.ActiveDeadlineSeconds; d != nil {
		p.ActiveDeadlineSeconds = *d
	}
	p.EventUID, p.Static = pod.Annotations[corev1.MirrorPodAnnotationKey]
	p.EventUID = clipTo(p.EventUID, maxCommand)
	if r := spec.Resources; r != nil {
		p.Limits = resources(r.Limits)
	}
	for _, c := range st.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue {
			p.Disruption = &evidence.Condition{Reason: c.Reason, Message: clip(c.Message), Time: detect.KnownTime(c.LastTransitionTime.Time)}
		}
	}
	if ref := metav1.GetControllerOf(pod); ref != nil {
		p.Owner = &record.Workload{Kind: ref.Kind, Name: ref.Name}
	}
	for _, t := range bounded(spec.Tolerations) {
		p.Tolerations = append(p.Tolerations, evidence.Toleration{
			Key: t.Key, Operator: string(t.Operator), Value: t.Value, Effect: string(t.Effect), Seconds: t.TolerationSeconds,
		})
	}
	p.AppsFinished = len(st.ContainerStatuses) > 0
	for i := range st.ContainerStatuses {
		if st.ContainerStatuses[i].State.Terminated == nil {
			p.AppsFinished = false
		}
	}
	return p
}

func conditions(list []corev1.PodCondition) []evidence.Condition {
	var out []evidence.Condition
	for _, c := range bounded(list) {
		out = append(out, condition(string(c.Type), string(c.Status), c.Reason, c.Message, c.LastTransitionTime))
	}
	return out
}

func condition(typ, status, reason, message string, transition metav1.Time) evidence.Condition {
	return evidence.Condition{Type: typ, Status: status, Reason: clipTo(reason, maxCommand), Message: clip(message), Time: detect.KnownTime(transition.Time)}
}

// volumes returns the volumes of a pod, each source of a projected one on its own.
func volumes(list []corev1.Volume, pod string) []evidence.Volume {
	var out []evidence.Volume
	for i := range list {
		if len(out) >= maxList {
			return out[:maxList]
		}
		v := &list[i]
		if p := v.Projected; p != nil {
			out = append(out, projected(v.Name, p)...)
			continue
		}
		e := volume(v, pod)
		e.Name, e.Source = v.Name, clipTo(e.Source, maxCommand)
		out = append(out, e)
	}
	return out[:min(len(out), maxList)]
}

func yes(b *bool) bool { return b != nil && *b }

func projected(name string, p *corev1.ProjectedVolumeSource) []evidence.Volume {
	var out []evidence.Volume
	for _, s := range bounded(p.Sources) {
		v := evidence.Volume{Name: name}
		switch {
		case s.ConfigMap != nil:
			v.Kind, v.Source, v.Optional = "configMap", s.ConfigMap.Name, yes(s.ConfigMap.Optional)
		case s.Secret != nil:
			v.Kind, v.Source, v.Optional = "secret", s.Secret.Name, yes(s.Secret.Optional)
		case s.ServiceAccountToken != nil:
			v.Kind = "serviceAccountToken"
		case s.ClusterTrustBundle != nil:
			v.Kind, v.Optional = "clusterTrustBundle", yes(s.ClusterTrustBundle.Optional)
			if n := s.ClusterTrustBundle.Name; n != nil {
				v.Source = *n
			}
		case s.PodCertificate != nil:
			v.Kind, v.Source = "podCertificate", s.PodCertificate.SignerName
		default:
			continue // the downward API is always there
		}
		v.Source = clipTo(v.Source, maxCommand)
		out = append(out, v)
	}
	return out
}

func volume(v *corev1.Volume, pod string) evidence.Volume {
	switch s := &v.VolumeSource; {
	case s.ConfigMap != nil:
		return evidence.Volume{Kind: "configMap", Source: s.ConfigMap.Name, Optional: yes(s.ConfigMap.Optional)}
	case s.Secret != nil:
		return evidence.Volume{Kind: "secret", Source: s.Secret.SecretName, Optional: yes(s.Secret.Optional)}
	case s.PersistentVolumeClaim != nil:
		return evidence.Volume{Kind: "persistentVolumeClaim", Source: s.PersistentVolumeClaim.ClaimName}
	case s.Ephemeral != nil:
		// The claim of an ephemeral volume is named after pod and volume (KEP-1698).
		return evidence.Volume{Kind: "ephemeral", Source: pod + "-" + v.Name}
	case s.HostPath != nil:
		return evidence.Volume{Kind: "hostPath", Source: s.HostPath.Path}
	case s.EmptyDir != nil:
		e := evidence.Volume{Kind: "emptyDir", Medium: string(s.EmptyDir.Medium)}
		if q := s.EmptyDir.SizeLimit; q != nil {
			e.SizeLimit = amount(*q)
		}
		return e
	case s.NFS != nil:
		return evidence.Volume{Kind: "nfs", Source: s.NFS.Server + ":" + s.NFS.Path}
	case s.CSI != nil:
		return evidence.Volume{Kind: "csi", Source: s.CSI.Driver}
	case s.Image != nil:
		return evidence.Volume{Kind: "image", Source: s.Image.Reference}
	case s.DownwardAPI != nil:
		return evidence.Volume{Kind: "downwardAPI"}
	case s.ISCSI != nil:
		return evidence.Volume{Kind: "iscsi", Source: s.ISCSI.TargetPortal}
	case s.FC != nil:
		return evidence.Volume{Kind: "fc"}
	case s.FlexVolume != nil:
		return evidence.Volume{Kind: "flexVolume", Source: s.FlexVolume.Driver}
	case s.RBD != nil:
		return evidence.Volume{Kind: "rbd", Source: s.RBD.RBDImage}
	case s.CephFS != nil:
		return evidence.Volume{Kind: "cephfs", Source: s.CephFS.Path}
	case s.Glusterfs != nil:
		return evidence.Volume{Kind: "glusterfs", Source: s.Glusterfs.Path}
	case s.AWSElasticBlockStore != nil:
		return evidence.Volume{Kind: "awsElasticBlockStore", Source: s.AWSElasticBlockStore.VolumeID}
	case s.GCEPersistentDisk != nil:
		return evidence.Volume{Kind: "gcePersistentDisk", Source: s.GCEPersistentDisk.PDName}
	case s.AzureDisk != nil:
		return evidence.Volume{Kind: "azureDisk", Source: s.AzureDisk.DiskName}
	case s.AzureFile != nil:
		return evidence.Volume{Kind: "azureFile", Source: s.AzureFile.ShareName}
	case s.Cinder != nil:
		return evidence.Volume{Kind: "cinder", Source: s.Cinder.VolumeID}
	case s.VsphereVolume != nil:
		return evidence.Volume{Kind: "vsphereVolume", Source: s.VsphereVolume.VolumePath}
	default:
		return evidence.Volume{Kind: "other"}
	}
}
