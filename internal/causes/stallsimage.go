package causes

// Sentences about images.
const (
	checkImage  = "kubectl get pod -n NAMESPACE POD -o jsonpath='{.spec.containers[*].image} {.spec.imagePullSecrets}'"
	checkPull   = "kubectl get events -n NAMESPACE --field-selector involvedObject.name=POD,reason=Failed"
	fixPullName = "A moved or deleted tag: deploy by digest, or push it again."
)

// imageStalls are images that cannot be had.
func imageStalls() []Cause {
	proof := []string{"confirmed: the runtime's pull error, in the waiting message (ErrImagePull; since 1.32 also ImagePullBackOff) or in the Failed event"}
	return []Cause{
		{
			Code: "image_not_found", Stall: true, Category: "failure", Title: "The registry has no such image",
			Meaning: "The registry says that the tag, digest or repository does not exist.",
			Details: []Detail{{"manifest", "the repository exists, the tag or digest does not"}, {"repository", "the repository does not exist"}},
			Proof:   proof,
			Check:   []string{checkImage, checkPull},
			Fix:     []string{"Correct the name or tag; look at the build that should have pushed it.", fixPullName},
		},
		{
			Code: "image_pull_auth", Stall: true, Category: "failure", Title: "The registry refuses the credentials",
			Meaning: "The registry refused to hand out the image: no credentials, wrong or expired ones, or no right to this repository. Some registries answer like this for images that do not exist.",
			Proof:   []string{"confirmed: 401, no basic auth credentials, or an expired token in the pull error", "likely: denied or 403, which may also mean that the image does not exist"},
			Check:   []string{checkImage, "kubectl get secret -n NAMESPACE SECRET (does it exist there, and is it of type kubernetes.io/dockerconfigjson?)", "kubectl get serviceaccount -n NAMESPACE default -o jsonpath='{.imagePullSecrets}'"},
			Fix:     []string{"Create or renew the pull secret in the pod's namespace, and name it in imagePullSecrets.", "Cloud registries: give the node's identity the right to pull.", "Check the image's name: it may simply not exist."},
		},
		{
			Code: "image_registry_unreachable", Stall: true, Category: "failure", Title: "The registry cannot be reached",
			Meaning: "The node could not talk to the registry.",
			Details: []Detail{
				{"dns", "its name does not resolve on the node"}, {"refused", "the connection was refused"}, {"unreachable", "there is no route to it"}, {"timeout", "it did not answer in time"},
				{"tls", "TLS failed: an unknown authority, an expired certificate, or plain HTTP on one side"}, {"proxy", "the proxy refused or could not be reached"}, {"reset", "the connection was cut"},
			},
			Proof: append(proof[:len(proof):len(proof)], "likely: only a deadline was reported, which a slow disk or a large image can exceed too"),
			Check: []string{checkPull, "On the node: curl -v https://REGISTRY/v2/", "Does it fail on all nodes, or on one?"},
			Fix:   []string{"Nodes resolve names by their own resolver, not by the cluster's DNS.", "Allow the nodes' way out (firewall, proxy, NAT), or use a mirror inside.", "tls: trust the authority in the runtime's configuration (certs.d)."},
		},
		{
			Code: "image_rate_limited", Stall: true, Category: "failure", Title: "The registry's rate limit is reached",
			Meaning: "The registry refuses further pulls for now, or the kubelet itself held the pull back.",
			Details: []Detail{{"kubelet", "the kubelet's own limit (registryPullQPS)"}},
			Proof:   append(proof[:len(proof):len(proof)], "The text is 429, toomanyrequests or pull QPS exceeded."),
			Check:   []string{checkPull, "kubectl get events -A --field-selector reason=Failed"},
			Fix:     []string{"Pull with an account, through a mirror or a cache; avoid imagePullPolicy Always for fixed tags.", "It ends by itself when the limit's window passes."},
		},
		{
			Code: "image_platform_mismatch", Stall: true, Category: "failure", Title: "No image for this platform",
			Meaning: "The image exists, and not for the node's operating system and architecture.",
			Proof:   append(proof[:len(proof):len(proof)], "The text is no match for platform in manifest or the like."),
			Check:   []string{"kubectl get node NODE -o jsonpath='{.status.nodeInfo.operatingSystem}/{.status.nodeInfo.architecture}'", "docker buildx imagetools inspect IMAGE"},
			Fix:     []string{"Build for all platforms of the nodes, or select nodes by kubernetes.io/arch."},
		},
		{
			Code: "image_invalid_name", Stall: true, Category: "failure", Title: "The image's name is not valid",
			Meaning: "The image reference cannot be parsed: upper case, blanks, a variable that was not replaced, two tags.",
			Proof:   []string{"confirmed: waiting reason InvalidImageName"},
			Check:   []string{checkImage},
			Fix:     []string{"Correct the name; look for a template whose value is empty."},
		},
		{
			Code: "image_never_pull", Stall: true, Category: "failure", Title: "The image is not on the node, and may not be pulled",
			Meaning: "imagePullPolicy is Never and the image is not on the node; since Kubernetes 1.35 also if it is there and the pod's right to it is not proven.",
			Proof:   []string{"confirmed: waiting reason ErrImageNeverPull"},
			Check:   []string{checkImage, "On the node: crictl images"},
			Fix:     []string{"Use IfNotPresent, or load the image on all nodes."},
		},
		{
			Code: "image_pull_failed", Stall: true, Category: "failure", Title: "The image could not be pulled",
			Meaning: "The pull failed otherwise.",
			Details: []Detail{
				{"disk_full", "the node has no room for the image"}, {"unpack", "a layer could not be unpacked"}, {"content_missing", "the registry lacks a part of the image"}, {"signature", "the node's policy does not accept the image's signature"},
				{"inspect_error", "the runtime could not read its own image store"}, {"http_NNN", "the registry answered with this HTTP status"}, {"short_name", "the name has no registry, and the runtime does not guess one"}, {"unsupported_format", "the image's format is no longer supported"},
			},
			Proof: append(proof[:len(proof):len(proof)], "likely: only the back-off is known; up to Kubernetes 1.31 the error is in the event alone, which may be gone"),
			Check: []string{checkPull, checkNode},
			Fix:   []string{"disk_full: free or enlarge the node's disk.", "unpack, inspect_error: the runtime's store on the node may be damaged; remove the image there.", "Otherwise wait for the next try, and look at the registry."},
		},
	}
}
