package detect

import "math"

// How a kubelet writes a ContainerStatus, as far as the reading below depends on it
// (pkg/kubelet/kubelet_pods.go convertToAPIContainerStatuses, status/status_manager.go
// TerminatePod, kuberuntime/kuberuntime_container.go; read in 1.28 to 1.37):
//
//   - state is the newest instance that the runtime knows, lastState the one before it,
//     restartCount the attempt number of the newest. So state.terminated is the end of
//     instance restartCount, and beside state.running lastState is that of restartCount-1.
//   - While the newest instance waits for its restart (CrashLoopBackOff, an image that
//     cannot be pulled), its own end moves to lastState and the count stays: then
//     lastState has the containerID of the status, and is instance restartCount.
//   - An instance that the runtime lost gets a stand-in state without a containerID: exit
//     code 137, reason ContainerStatusUnknown (RestartingAllContainers during such a
//     restart), no times. In lastState it comes with the count raised by one, unless the
//     pod is being deleted; in state it comes with the count raised if the runtime still
//     lists the instance, and as it was if the pod ended (TerminatePod). TerminatePod also
//     gives it to containers that never ran, of rejected pods above all.
//   - An init container that the runtime forgot is "Completed" without a containerID.

// death is an ended instance that a status shows. It has no terminated state of its
// own where only its place is known.
type death struct {
	ordinal int64
	// id is the checksum of the instance's container ID, 0 where unknown.
	id    uint64
	rawID string
	t     *Terminated
	last  bool
}

// sighting is what one status says about the instances of a container.
type sighting struct {
	// deaths holds the ended instances that are shown, oldest first.
	deaths [2]death
	n      int
	// ended is how many instances of this epoch have ended for certain.
	ended int64
	// live is the checksum of the container ID of an instance that has not ended, with
	// ordinal restartCount; 0 where there is none.
	live    uint64
	running bool
}

func (s *sighting) add(ordinal int64, t *Terminated, last bool, rawID string) {
	s.deaths[s.n] = death{ordinal: ordinal, id: Sum64(rawID), rawID: rawID, t: t, last: last}
	s.n++
}

// read says what a status shows, given what is known of the container.
func read(c *Container, p *Pod, cs *containerState) (s sighting) {
	n := restartCount(c)
	state, last := c.State, c.Last
	switch {
	case state != nil && state.synthetic():
		return readStandIn(c, p, cs)

	case state != nil:
		if last != nil && last.ContainerID != state.ContainerID {
			s.add(n-1, last, true, last.ContainerID)
		}
		s.add(n, state, false, state.ContainerID)
		s.ended = cs.endedWith(n, state.ContainerID)

	case last != nil && !c.Running && !last.synthetic() && last.ContainerID == c.ContainerID:
		// The newest instance waits for its restart.
		s.add(n, last, true, last.ContainerID)
		s.ended = cs.endedWith(n, last.ContainerID)

	case !c.Running && c.ContainerID == "" && cs.running && n == int64(cs.accounted):
		// The runtime lost the instance that was running, and the count was not raised.
		if last != nil && (last.synthetic() || !cs.knows(Sum64(last.ContainerID))) {
			s.add(n, last, true, last.ContainerID)
		}
		s.ended = n + 1

	case last != nil && !c.Running && c.ContainerID == "":
		// The runtime knows no instance: state and count are those of an earlier status, when
		// lastState was the newest instance or the one before it.
		ordinal, id := max(n-1, 0), Sum64(last.ContainerID)
		s.ended = max(n, 1)
		if id != 0 && (c.BackOff || !cs.knows(id) && cs.repeats(n-1, id)) {
			ordinal, s.ended = n, cs.endedWith(n, last.ContainerID)
		}
		s.add(ordinal, last, true, last.ContainerID)

	default:
		if last != nil {
			s.add(n-1, last, true, last.ContainerID)
		}
		s.ended = n
		s.live, s.running = Sum64(c.ContainerID), c.Running
	}
	return s
}

// readStandIn reads a status whose state is a stand-in without a container ID. It
// says no more than what is certain: the same text serves for an instance that was
// lost, for one whose end is known better, and for a container that never ran.
func readStandIn(c *Container, p *Pod, cs *containerState) (s sighting) {
	n := restartCount(c)
	id := Sum64(c.ContainerID)
	last := c.Last
	switch {
	case last != nil && !last.synthetic() && last.ContainerID == c.ContainerID:
		// The real end of the newest instance is in lastState; the stand-in replaced its
		// CrashLoopBackOff.
		s.add(n, last, true, last.ContainerID)
		s.ended = cs.endedWith(n, last.ContainerID)

	case id != 0 && cs.knows(id):
		// Recorded already; the count may be one ahead.

	case id != 0 && id == cs.currentID && !cs.running:
		// It was created, and never reported running.

	case id != 0 && id == cs.currentID, id == 0 && cs.running && n <= int64(cs.accounted)+1:
		// The live instance that is known is the one that was lost, whatever the count.
		s.add(int64(cs.accounted), c.State, false, c.ContainerID)
		s.ended = int64(cs.accounted) + 1

	case id == 0 && c.State.Reason != reasonStatusUnknown:
		s.add(n, c.State, false, "")
		s.ended = n + 1

	case id == 0 && last == nil && !cs.running:
		// Nothing shows that instance n ever ran, such as in a rejected pod.
		s.ended = n

	case id == 0 && !cs.running:
		// The stand-in covers the instance in lastState a second time.
		s.add(max(n-1, 0), last, true, last.ContainerID)
		s.ended = max(n, 1)

	default:
		ordinal := n
		if !p.Finished {
			ordinal = max(n-1, 0)
		}
		if last != nil {
			s.add(ordinal-1, last, true, last.ContainerID)
		}
		s.add(ordinal, c.State, false, c.ContainerID)
		s.ended = ordinal + 1
	}
	return s
}

// endedWith returns how many instances have ended for certain when the newest, which the
// runtime calls id, has. Where that one is live or recorded, its number is known and the
// count says nothing new: a kubelet of 1.36 and later keeps a count that it raised with a
// stand-in, also where the runtime then tells of the end after all (the kubelet kills an
// instance in an unknown state before it starts the next).
func (cs *containerState) endedWith(n int64, id string) int64 {
	if sum := Sum64(id); sum == cs.currentID || cs.knows(sum) {
		return 0
	}
	return n + 1
}

// restartCount returns the count within the bounds that the rest can compute with.
func restartCount(c *Container) int64 {
	return min(max(int64(c.RestartCount), 0), math.MaxInt32-2)
}
