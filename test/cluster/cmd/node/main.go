// Command node is every Kubernetes program of the test cluster in one binary:
// the first argument names the program, the rest are that program's own
// arguments.
//
// One binary because linking is what costs: each of these programs links to
// well over a hundred megabytes and they share almost all of it.
package main

import (
	"context"
	"fmt"
	"os"
	_ "time/tzdata" // CronJobs may name a time zone

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubectl's ways to log in
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

const usage = "usage: node kube-apiserver|kube-controller-manager|kube-scheduler|kubelet|kubectl|etcd [ARGUMENT...]"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	// Every program reads os.Args on its own, so the name of the program takes
	// the place of the name of this binary.
	os.Args = os.Args[1:]

	switch os.Args[0] {
	case "kube-apiserver":
		run(apiserver.NewAPIServerCommand())
	case "kube-controller-manager":
		run(controllers.NewControllerManagerCommand())
	case "kube-scheduler":
		run(scheduler.NewSchedulerCommand())
	case "kubelet":
		run(kubelet.NewKubeletCommand(context.Background()))
	case "kubectl":
		if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
			util.CheckErr(err)
		}
	case "etcd":
		etcdmain.Main(os.Args)
	default:
		fmt.Fprintf(os.Stderr, "node: no program is called %q\n%s\n", os.Args[0], usage)
		os.Exit(2)
	}
}

// run hands over to one of the Kubernetes programs and does not return.
func run(command *cobra.Command) {
	os.Exit(cli.Run(command))
}
