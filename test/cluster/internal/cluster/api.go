package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"
)

func apiURL() string { return fmt.Sprintf("https://127.0.0.1:%d", apiPort) }

// api is an administrator's connection to the API server: the few requests
// that bringing a node up takes.
type api struct {
	token string
	http  *http.Client
}

// api reads the credentials from the kubeconfig of this run.
func (c *Cluster) api() (*api, error) {
	content, err := os.ReadFile(c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	var kubeconfig struct {
		Clusters []struct {
			Cluster struct {
				CA []byte `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Token string `json:"token"`
			} `json:"user"`
		} `json:"users"`
	}
	if err := json.Unmarshal(content, &kubeconfig); err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	if len(kubeconfig.Clusters) != 1 || len(kubeconfig.Users) != 1 {
		return nil, fmt.Errorf("read the kubeconfig: %s is not the one that was written", c.Kubeconfig())
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(kubeconfig.Clusters[0].Cluster.CA)
	return &api{
		token: kubeconfig.Users[0].User.Token,
		http: &http.Client{
			Timeout:   10 * time.Second,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true},
		},
	}, nil
}

// do sends a request and reads the answer into result, which may be nil.
func (a *api) do(ctx context.Context, method, path string, patch, result any) error {
	var body io.Reader
	if patch != nil {
		content, err := json.Marshal(patch)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(content)
	}
	request, err := http.NewRequestWithContext(ctx, method, apiURL()+path, body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	request.Header.Set("Authorization", "Bearer "+a.token)
	if patch != nil {
		request.Header.Set("Content-Type", "application/merge-patch+json")
	}
	response, err := a.http.Do(request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %.200s", method, path, response.Status, content)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(content, result); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	return nil
}

func (a *api) ready(ctx context.Context) error {
	return a.do(ctx, http.MethodGet, "/readyz", nil, nil)
}

// node is what is read of a node.
type node struct {
	Spec struct {
		Taints []taint `json:"taints"`
	} `json:"spec"`
	Status struct {
		Conditions []condition `json:"conditions"`
		Addresses  []address   `json:"addresses"`
	} `json:"status"`
}

type condition struct {
	Type          string    `json:"type"`
	Status        string    `json:"status"`
	Message       string    `json:"message"`
	LastHeartbeat time.Time `json:"lastHeartbeatTime"`
}

type taint struct {
	Key       string     `json:"key"`
	Value     string     `json:"value,omitempty"`
	Effect    string     `json:"effect"`
	TimeAdded *time.Time `json:"timeAdded,omitempty"`
}

type address struct {
	Type    string `json:"type"`
	Address string `json:"address"`
}

func (a *api) node(ctx context.Context) (node, error) {
	var n node
	err := a.do(ctx, http.MethodGet, "/api/v1/nodes/"+Node, nil, &n)
	return n, err
}

// ready returns nil if the node said after since that it is ready and pods can
// be scheduled to it.
func (n node) ready(since time.Time) error {
	i := slices.IndexFunc(n.Status.Conditions, func(c condition) bool { return c.Type == "Ready" })
	if i < 0 {
		return fmt.Errorf("node %s has not said whether it is ready", Node)
	}
	ready := n.Status.Conditions[i]
	// Times in the API have whole seconds.
	if ready.LastHeartbeat.Before(since.Truncate(time.Second)) {
		return fmt.Errorf("node %s has not reported since %s", Node, since.Format(time.TimeOnly))
	}
	if ready.Status != "True" {
		return fmt.Errorf("node %s is not ready: %s", Node, ready.Message)
	}
	for _, t := range n.Spec.Taints {
		if t.Key == "node.kubernetes.io/not-ready" || t.Key == "node.kubernetes.io/unreachable" {
			return fmt.Errorf("node %s still has the taint %s", Node, t.Key)
		}
	}
	return nil
}

// initialize does what the cloud provider of an ordinary node would: it gives
// the node its address and takes away the taint that waits for that.
func (a *api) initialize(ctx context.Context, n node) error {
	const uninitialized = "node.cloudprovider.kubernetes.io/uninitialized"

	internal := address{"InternalIP", "127.0.0.1"}
	if !slices.Contains(n.Status.Addresses, internal) {
		// A merge patch replaces the whole list.
		addresses := append([]address{internal}, n.Status.Addresses...)
		patch := map[string]any{"status": map[string]any{"addresses": addresses}}
		if err := a.do(ctx, http.MethodPatch, "/api/v1/nodes/"+Node+"/status", patch, nil); err != nil {
			return fmt.Errorf("set the address of the node: %w", err)
		}
	}
	kept := []taint{}
	for _, t := range n.Spec.Taints {
		if t.Key != uninitialized {
			kept = append(kept, t)
		}
	}
	if len(kept) == len(n.Spec.Taints) {
		return nil
	}
	patch := map[string]any{"spec": map[string]any{"taints": kept}}
	if err := a.do(ctx, http.MethodPatch, "/api/v1/nodes/"+Node, patch, nil); err != nil {
		return fmt.Errorf("remove the taint %s: %w", uninitialized, err)
	}
	return nil
}
