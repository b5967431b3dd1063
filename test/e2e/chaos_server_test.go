//go:build e2e

package e2e

import (
	"fmt"
	"time"
)

func (k *chaos) serverFaults() []fault {
	return []fault{
		{group: groupServer, name: "API server restarted", long: true, run: func() (int, string) {
			n := k.times(1, 2)
			for range n {
				k.do("restart-apiserver")
				k.wait(k.moment(3 * time.Second))
			}
			return n, ""
		}},
		{group: groupServer, name: "API server killed, and away", run: func() (int, string) {
			n, away := 1, k.during(4*time.Second, 30*time.Second)
			for range n {
				k.do("kill-apiserver")
				k.wait(away)
				k.do("start-apiserver")
				k.wait(k.moment(3 * time.Second))
			}
			return n, fmt.Sprintf("%s each time; of the ends of a container that came meanwhile the kubelet tells the last one alone.", away)
		}},
		{group: groupServer, name: "API server away while whyrestart is killed and started", long: true, run: func() (int, string) {
			n := 1
			for range n {
				k.do("kill-apiserver")
				if err := k.program.end(9); err != nil {
					k.t.Fatal(err)
				}
				k.must(k.program.start(), "start whyrestart")
				// Whether it waits or ends, it has to be right afterwards.
				if err := k.program.ended(2 * time.Second); !k.program.runs() {
					k.t.Logf("it ended: %v", err)
				}
				k.do("start-apiserver")
				if !k.program.runs() {
					k.must(k.program.start(), "start whyrestart")
				}
				k.must(k.program.untilReady(patience), "wait for whyrestart")
			}
			return n, "At its start whyrestart ends with an error where the API server does not answer, for whoever runs it to start it again."
		}},
		{group: groupServer, name: "etcd killed and restarted", long: true, run: func() (int, string) {
			n := k.times(1, 2)
			for range n {
				k.do("restart-etcd")
				k.wait(k.moment(3 * time.Second))
			}
			return n, ""
		}},
		{group: groupServer, name: "etcd compacted, and the API server restarted (410)", long: true, run: func() (int, string) {
			n := k.times(1, 2)
			for range n {
				k.do("compact-etcd")
				k.do("restart-apiserver")
				k.do("compact-etcd")
				k.wait(k.moment(3 * time.Second))
			}
			return n, ""
		}},
	}
}
