package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	// Every way that a kubeconfig may name to get credentials.
	_ "k8s.io/client-go/plugin/pkg/client/auth"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/version"
)

// sourceFlags select pods of a cluster, as kubectl's flags do.
type sourceFlags struct {
	config     *genericclioptions.ConfigFlags
	cluster    string
	namespaces []string
	exclude    []string
	selector   string
	shard      string
	settings   configFlags
	all        bool
	// everything is what no namespace flag means: all of them, or the context's own.
	everything bool
}

func (f *sourceFlags) add(flags *pflag.FlagSet) {
	f.config = genericclioptions.NewConfigFlags(true)
	f.config.Namespace = nil // several may be given here
	f.config.AddFlags(flags)
	if f.everything {
		flags.StringSliceVarP(&f.namespaces, "namespace", "n", nil, "namespaces to watch, one watch each (default: all, by one watch)")
		flags.StringSliceVar(&f.exclude, "exclude-namespace", nil, "namespaces to leave out where all are watched")
	} else {
		flags.StringSliceVarP(&f.namespaces, "namespace", "n", nil, "namespaces (default: that of the context)")
		flags.BoolVarP(&f.all, "all-namespaces", "A", false, "all namespaces")
	}
	flags.StringVarP(&f.selector, "selector", "l", "", "label selector of the pods, as kubectl's")
	flags.StringVar(&f.cluster, "cluster-name", "", "name of the cluster in records")
}

// addShard adds the flag of those that watch a part of a cluster.
func (f *sourceFlags) addShard(flags *pflag.FlagSet) {
	flags.StringVar(&f.shard, "shard", "", "watch one of several shards of the namespaces, as INDEX/OF: 0/4 to 3/4 are all of them")
}

// errNoCluster: there is no kubeconfig, and this is not a pod.
var errNoCluster = errors.New("no cluster: there is no kubeconfig, and this is not a pod of a cluster (see --kubeconfig)")

// source turns the flags into what the programs take.
func (f *sourceFlags) source(captureLogs bool) (app.Source, error) {
	loader := f.config.ToRawKubeConfigLoader()
	if f.nowhere(loader) {
		return app.Source{}, errNoCluster
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return app.Source{}, fmt.Errorf("load the kubeconfig: %w", err)
	}
	if _, err := labels.Parse(f.selector); err != nil {
		return app.Source{}, fmt.Errorf("--selector: %w", err)
	}
	if f.all && len(f.namespaces) > 0 {
		return app.Source{}, errors.New("--all-namespaces and --namespace exclude each other")
	}
	if len(f.exclude) > 0 && len(f.namespaces) > 0 {
		return app.Source{}, errors.New("--exclude-namespace and --namespace exclude each other")
	}
	part, err := shard.Parse(f.shard)
	if err != nil {
		return app.Source{}, fmt.Errorf("--shard: %w", err)
	}
	settings, err := f.settings.load()
	if err != nil {
		return app.Source{}, err
	}
	namespaces := f.namespaces
	if len(namespaces) == 0 && !f.all && !f.everything {
		ns, _, err := loader.Namespace()
		if err != nil {
			return app.Source{}, fmt.Errorf("load the kubeconfig: %w", err)
		}
		namespaces = []string{ns}
	}
	return app.Source{
		Config:            polite(config),
		Cluster:           f.cluster,
		Namespaces:        namespaces,
		ExcludeNamespaces: f.exclude,
		Selector:          f.selector,
		Shard:             part,
		Logs:              captureLogs,
		Merge:             settings.Merge,
		Version:           version.Current(),
	}, nil
}

// lookInto finds in a recorded state of a cluster what a look at a live one would.
func (f *sourceFlags) lookInto(ctx context.Context, e *environment, path string, filter func(*corev1.Pod) bool) ([]pipeline.Finding, record.Coverage, error) {
	settings, err := f.settings.load()
	if err != nil {
		return nil, record.Coverage{}, err
	}
	found, coverage, err := app.LookInto(ctx, f.cluster, path, e.In, filter)
	app.Merge(found, settings.Merge)
	return found, coverage, err
}

// nowhere tells that nothing names a cluster. client-go would try localhost:8080 then,
// which was the address of an insecure port that API servers no longer have.
func (f *sourceFlags) nowhere(loader clientcmd.ClientConfig) bool {
	raw, err := loader.RawConfig()
	return err == nil && len(raw.Clusters) == 0 && *f.config.APIServer == "" && os.Getenv("KUBERNETES_SERVICE_HOST") == ""
}

// polite leaves the server's warnings out: they are about API versions, not about stops.
func polite(c *rest.Config) *rest.Config {
	c.WarningHandler = rest.NoWarnings{}
	return c
}

// quiet is the log level of commands that a person runs: what they print is the answer.
const quiet = slog.LevelWarn

// storeNamespaces are those to look for in a history, none meaning all: the flags, or,
// where there is a kubeconfig, the namespace of its context.
func (f *sourceFlags) storeNamespaces() []string {
	if f.all || len(f.namespaces) > 0 {
		return f.namespaces
	}
	loader := f.config.ToRawKubeConfigLoader()
	if f.nowhere(loader) {
		return nil
	}
	ns, _, err := loader.Namespace()
	if err != nil || ns == "" {
		return nil
	}
	return []string{ns}
}
