package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"
)

// validity is that of the certificates. A test cluster does not live that long.
const validity = 365 * 24 * time.Hour

// client is somebody who talks to the API server.
type client struct {
	file   string // the kubeconfig, relative to the state folder
	user   string
	groups string
}

func clients() []client {
	return []client{
		{"kubeconfig", "admin", "system:masters"},
		{"pki/kube-controller-manager.kubeconfig", "system:kube-controller-manager", ""},
		{"pki/kube-scheduler.kubeconfig", "system:kube-scheduler", ""},
		{"pki/kubelet.kubeconfig", "system:node:" + Node, "system:nodes"},
	}
}

// writeIdentities makes the keys, the certificates and the tokens of this run
// and the kubeconfigs that they go into.
func (c *Cluster) writeIdentities() error {
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	certificate, key, err := ca.serve("127.0.0.1")
	if err != nil {
		return err
	}
	serviceAccounts, err := newKey()
	if err != nil {
		return err
	}
	serviceAccountKey, err := encodeKey(serviceAccounts)
	if err != nil {
		return err
	}

	var tokens strings.Builder
	for _, client := range clients() {
		token := rand.Text()
		fmt.Fprintf(&tokens, "%s,%s,%s,%q\n", token, client.user, client.user, client.groups)
		if err := c.writeKubeconfig(c.path(client.file), token, ca.certificate); err != nil {
			return err
		}
	}
	for name, content := range map[string][]byte{
		"ca.crt":              ca.certificate,
		"apiserver.crt":       certificate,
		"apiserver.key":       key,
		"service-account.key": serviceAccountKey,
		"tokens.csv":          []byte(tokens.String()),
	} {
		if err := writeFile(c.path("pki", name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// authority signs the certificate of the API server.
type authority struct {
	key         *ecdsa.PrivateKey
	template    *x509.Certificate
	certificate []byte // PEM
}

func newAuthority() (*authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "whyrestart test cluster"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(validity),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of the authority: %w", err)
	}
	return &authority{key, template, encodeCertificate(der)}, nil
}

// serve returns a certificate for a server at the address, and its key.
func (a *authority) serve(address string) (certificate, key []byte, err error) {
	private, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "kube-apiserver"},
		NotBefore:    a.template.NotBefore,
		NotAfter:     a.template.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses:  []net.IP{net.ParseIP(address)},
	}, a.template, &private.PublicKey, a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign the certificate for %s: %w", address, err)
	}
	key, err = encodeKey(private)
	return encodeCertificate(der), key, err
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
