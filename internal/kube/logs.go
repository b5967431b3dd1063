package kube

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Defaults of LogsOptions.
const (
	defaultTailLines  = 50
	defaultLimitBytes = 16 << 10
	defaultLogTimeout = 5 * time.Second
)

// maxLogBytes bounds one answer of the server. The kubelet counts its own records as
// lines, of 16 KiB at most, so that a tail of 50 lines is shorter than this. It
// cannot serve as LimitBytes: the kubelet cuts the end off, which is what is wanted.
const maxLogBytes = 1 << 20

// logReads is how often a log is read because the container restarted meanwhile, or
// because the kubelet and the API do not agree yet on what is current; from the second
// time on they are given time to, logPatience at first.
const (
	logReads    = 5
	logPatience = 100 * time.Millisecond
)

// LogsOptions says how log tails are read.
type LogsOptions struct {
	// Config says how to reach the API server. It is not changed.
	Config    *rest.Config
	UserAgent string
	// TailLines and LimitBytes bound a tail; 0 means 50 lines and 16 KiB.
	TailLines, LimitBytes int
	// Timeout bounds one call of Tail with all its requests; 0 means 5 seconds.
	Timeout time.Duration
}

// Logs reads log tails from the API server. It implements pipeline.LogReader.
//
// The log API names no instance: it gives the newest one, or the one before it, as
// the kubelet sees it at that moment, which may be ahead of the status in the API.
// So Tail reads the pod after the log to see which of the two the wanted instance
// is, and looks at the time of each line; see verdict.
type Logs struct {
	client     rest.Interface
	host       string
	tailLines  int
	limitBytes int
	timeout    time.Duration
}

var _ pipeline.LogReader = (*Logs)(nil)

// NewLogs checks the options and prepares the connection; it does not use it.
func NewLogs(o LogsOptions) (*Logs, error) {
	if o.Config == nil {
		return nil, errors.New("no cluster to read logs of: no client configuration")
	}
	if o.TailLines < 0 || o.LimitBytes < 0 || o.Timeout < 0 {
		return nil, errors.New("the limits of a log tail must not be negative")
	}
	config := clientConfig(o.Config, o.UserAgent)
	config.NegotiatedSerializer = podCodecs().WithoutConversion()
	config.Timeout = 0 // Tail has its own
	client, host, err := clientFor(config)
	if err != nil {
		return nil, err
	}
	l := &Logs{client: client, host: host, tailLines: o.TailLines, limitBytes: o.LimitBytes, timeout: o.Timeout}
	if l.tailLines == 0 {
		l.tailLines = defaultTailLines
	}
	if l.limitBytes == 0 {
		l.limitBytes = defaultLimitBytes
	}
	if l.timeout == 0 {
		l.timeout = defaultLogTimeout
	}
	return l, nil
}

// podCodecs returns the codecs of a scheme in which there are only whole pods and events.
func podCodecs() serializer.CodecFactory {
	v1 := schema.GroupVersion{Version: "v1"}
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(v1, &corev1.Pod{}, &corev1.Event{}, &corev1.EventList{})
	metav1.AddToGroupVersion(scheme, v1)
	return serializer.NewCodecFactory(scheme)
}

// Tail returns the end of the log of the instance that r names, or says why there
// is none.
func (l *Logs) Tail(ctx context.Context, r pipeline.LogRequest) record.Log {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	previous, wait := r.Previous, logPatience
	last := record.Log{Missing: "the kubelet and the API did not agree for long enough on which log is whose"}
	for n := range logReads {
		if n > 1 {
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
			wait *= 2
		}
		log, again := l.try(ctx, r, previous)
		if !again {
			return log
		}
		if log.Missing != "" {
			last = log
		}
		previous = !previous
	}
	return last
}

// try reads the current or the previous log; again means that the wanted instance
// may be the other one by now; the log then says why it is missing, if that is known.
func (l *Logs) try(ctx context.Context, r pipeline.LogRequest, previous bool) (log record.Log, again bool) {
	lines, cut, err := l.read(ctx, r, previous)
	if err != nil && problemOf(err) != Failed {
		return record.Log{Missing: missing(err)}, false
	}
	pod, podErr := l.pod(ctx, r)
	if podErr != nil {
		// The lines' own times have to do.
		pod = nil
	} else if string(pod.UID) != r.PodUID {
		return record.Log{Missing: "the pod is gone and another one has its name"}, false
	}

	where, later := unknownPlace, time.Time{}
	if pod != nil {
		where, later = locate(pod, r)
	}
	moved := where == asPrevious && !previous || where == asCurrent && previous
	if moved || where == elsewhere {
		later = time.Time{}
	}
	whose := judge(lines, r, where, later)
	switch {
	case whose == ours:
		// Whatever the status says by now: the times prove it.
	case where == elsewhere:
		return record.Log{Missing: "a later instance has replaced it: the cluster keeps only the last two logs of a container"}, false
	case moved:
		return log, true
	case err != nil:
		return record.Log{Missing: missing(err)}, false
	case len(lines) == 0 && (previous || later.Equal(never)):
		return record.Log{Missing: "the log is empty"}, false
	case len(lines) == 0:
		// The kubelet may be ahead of the API, and the next instance has written nothing yet:
		// then the wanted one is the previous to it.
		return record.Log{Missing: "the log is empty, or it is already that of the next instance"}, true
	case whose == foreign && !previous:
		// The kubelet is ahead of the API: what it calls current is the next instance.
		return log, true
	case whose == foreign:
		return record.Log{Missing: "the log is that of another instance"}, false
	}
	log.Instance = record.LogProbable
	if whose == ours {
		log.Instance = record.LogProven
	}
	log.Lines, log.Truncated = clip(lines, l.tailLines, l.limitBytes)
	log.Truncated = log.Truncated || cut
	return log, false
}

// read returns the lines of the current or the previous log, and whether the answer
// was longer than what is read of one.
func (l *Logs) read(ctx context.Context, r pipeline.LogRequest, previous bool) (lines []line, cut bool, err error) {
	body, err := l.client.Get().
		Namespace(r.Namespace).Resource("pods").Name(r.Pod).SubResource("log").
		// As kubectl asks: the log is plain text, an error is not.
		SetHeader("Accept", "application/json, */*").
		Param("container", r.Container).
		Param("previous", strconv.FormatBool(previous)).
		Param("timestamps", "true").
		// One more than wanted tells whether there were more.
		Param("tailLines", strconv.Itoa(l.tailLines+1)).
		Param("limitBytes", strconv.Itoa(maxLogBytes)).
		Stream(ctx)
	if err != nil {
		return nil, false, access(err, l.host, "get", "pods/log", r.Namespace)
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxLogBytes))
	if err != nil {
		return nil, false, access(err, l.host, "get", "pods/log", r.Namespace)
	}
	lines, err = parseLog(data)
	return lines, len(data) == maxLogBytes, err
}

func (l *Logs) pod(ctx context.Context, r pipeline.LogRequest) (*corev1.Pod, error) {
	p := new(corev1.Pod)
	err := l.client.Get().Namespace(r.Namespace).Resource("pods").Name(r.Pod).Do(ctx).Into(p)
	return p, access(err, l.host, "get", "pods", r.Namespace)
}

// missing says why there is no log, in the API's words where it has any.
func missing(err error) string {
	e, known := errors.AsType[*AccessError](err)
	switch {
	case !known:
		return err.Error()
	case e.Problem == Forbidden:
		return "forbidden: " + e.Reason
	default:
		return e.Reason
	}
}

// problemOf returns what kind of problem err is; Failed where it is no AccessError.
func problemOf(err error) Problem {
	if e, known := errors.AsType[*AccessError](err); known {
		return e.Problem
	}
	return Failed
}
