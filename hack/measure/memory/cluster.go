// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/certs"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
)

// cluster is a control plane with objects, and a webhook process beside it.
type cluster struct {
	name    string
	objects int

	directory string
	plane     *controlplane.ControlPlane
	client    dynamic.Interface
	settings  config.WebhookConfig
	process   *exec.Cmd
	http      *http.Client

	ready time.Duration
	idle  memory          // when ready
	asked memory          // after all requests
	took  []time.Duration // sorted
}

const (
	namespaceCount = 20
	writers        = 8
	block          = 100
)

func resource(group, version, plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: version, Resource: plural}
}

// fill starts the control plane and creates the objects.
func (c *cluster) fill(ctx context.Context, directory string) error {
	c.directory = filepath.Join(directory, c.name)
	if err := os.Mkdir(c.directory, 0o700); err != nil {
		return err
	}
	root, err := checkout.Root()
	if err != nil {
		return err
	}
	c.plane, err = controlplane.Start(ctx, controlplane.Options{CRDs: []string{filepath.Join(root, "pkg", "crd", "kyma")}})
	if err != nil {
		return err
	}
	admin := c.plane.Config()
	admin.QPS = -1
	if c.client, err = dynamic.NewForConfig(admin); err != nil {
		return err
	}
	names := []string{"kyma-system", "istio-system"}
	for i := range namespaceCount {
		names = append(names, namespace(i))
	}
	for _, name := range names {
		if err := c.create(ctx, resource("", "v1", "namespaces"), "", fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {istio-injection: enabled}}}`, name)); err != nil {
			return err
		}
	}
	if err := c.create(ctx, resource("operator.kyma-project.io", "v1alpha2", "istios"), "kyma-system", istio); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range c.objects {
		group.Go(func() error {
			where, name := namespace(i), fmt.Sprintf("web-%d", i)
			if err := c.create(ctx, resource("", "v1", "services"), where, fmt.Sprintf(service, name, name)); err != nil {
				return err
			}
			return c.create(ctx, resource("gateway.kyma-project.io", "v2", "apirules"), where, fmt.Sprintf(apirule, name, name, name))
		})
	}
	return group.Wait()
}

func namespace(i int) string { return fmt.Sprintf("team-%d", i%namespaceCount) }

const (
	istio = `{apiVersion: operator.kyma-project.io/v1alpha2, kind: Istio, metadata: {name: default}, spec: {config: {authorizers: [
		{name: oauth2-proxy, service: oauth2-proxy.auth.svc.cluster.local, port: 80, pathPrefix: "/verify?original="}]}}}`
	// Headless, because a control plane for tests has few addresses to give.
	service = `{apiVersion: v1, kind: Service, metadata: {name: %s, labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: web}},
		spec: {clusterIP: None, selector: {app: %s}, ports: [{name: http, port: 8000, targetPort: 8000}]}}`
	apirule = `{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: %s}, spec: {hosts: [%s], gateway: kyma-system/kyma-gateway,
		service: {name: %s, port: 8000}, rules: [{path: "/api/{**}", methods: [GET, POST, PUT, DELETE], extAuth: {authorizers: [oauth2-proxy]}},
		{path: /healthz, methods: [GET], noAuth: true}]}}`
)

func (c *cluster) create(ctx context.Context, of schema.GroupVersionResource, namespace, manifest string) error {
	var content map[string]any
	if err := yaml.Unmarshal([]byte(manifest), &content); err != nil {
		return err
	}
	_, err := c.client.Resource(of).Namespace(namespace).Create(ctx, &unstructured.Unstructured{Object: content}, metav1.CreateOptions{})
	return err
}

// start starts the webhook process and waits until it is ready.
func (c *cluster) start(ctx context.Context, binary, limit string) error {
	var err error
	if c.settings, err = guard.Settings(ctx, filepath.Join(c.directory, "tls")); err != nil {
		return err
	}
	kubeconfig, file := filepath.Join(c.directory, "kubeconfig"), filepath.Join(c.directory, "webhook.yaml")
	if err := c.plane.WriteKubeconfig(kubeconfig); err != nil {
		return err
	}
	raw, err := yaml.Marshal(c.settings)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return err
	}
	c.process = exec.CommandContext(context.WithoutCancel(ctx), binary, "--config", file, "--kubeconfig", kubeconfig)
	c.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this program, which stops it
	if limit != "" {
		c.process.Env = append(os.Environ(), "GOMEMLIMIT="+limit)
	}
	begun := time.Now()
	if err := c.process.Start(); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := guard.Ready(waiting, c.settings); err != nil {
		return err
	}
	c.ready = time.Since(begun)
	if c.idle, err = memoryOf(c.process.Process.Pid); err != nil {
		return err
	}
	return c.connect()
}

func (c *cluster) connect() error {
	ca, err := os.ReadFile(filepath.Join(c.settings.Certificates.Directory, certs.CAFile))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	c.http = &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true, // as the API server
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13},
	}}
	return nil
}

// review is the request about an APIRule that is created in front of a Service of
// both clusters, with one rule to inject.
const review = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE","namespace":"team-3","name":"new",
"kind":{"group":"gateway.kyma-project.io","version":"v2","kind":"APIRule"},"resource":{"group":"gateway.kyma-project.io","version":"v2","resource":"apirules"},
"userInfo":{"username":"jane"},"object":{"apiVersion":"gateway.kyma-project.io/v2","kind":"APIRule",
"metadata":{"name":"new","namespace":"team-3","annotations":{"extauth-guard.io/inject":"true"}},"spec":{"hosts":["new"],"gateway":"kyma-system/kyma-gateway",
"service":{"name":"web-3","port":8000},"rules":[{"path":"/a","methods":["GET"]},{"path":"/b","methods":["GET"],"extAuth":{"authorizers":["oauth2-proxy"]}}]}}}}`

// ask sends a block of pairs, a mutating and a validating request each.
func (c *cluster) ask(ctx context.Context, count bool) error {
	for range block {
		begun := time.Now()
		for _, path := range []string{webhook.MutateAPIRulePath, webhook.ValidateAPIRulePath} {
			if err := c.post(ctx, path); err != nil {
				return err
			}
		}
		if count {
			c.took = append(c.took, time.Since(begun))
		}
	}
	slices.Sort(c.took)
	var err error
	c.asked, err = memoryOf(c.process.Process.Pid)
	return err
}

func (c *cluster) post(ctx context.Context, path string) error {
	body, want := review, `"patchType":"JSONPatch"`
	if path == webhook.ValidateAPIRulePath { // is asked about what the other made of it
		body, want = strings.Replace(review, `"methods":["GET"]}`, `"methods":["GET"],"extAuth":{"authorizers":["oauth2-proxy"]}}`, 1), `"allowed":true`
	}
	url := "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(c.settings.Server.Port)) + path
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := c.http.Do(request)
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return err
	}
	if !bytes.Contains(raw, []byte(want)) {
		return fmt.Errorf("%s answered %s", path, raw)
	}
	return nil
}

// percentile returns that of the pairs, which are sorted.
func (c *cluster) percentile(p int) time.Duration {
	return c.took[min(len(c.took)*p/100, len(c.took)-1)].Round(time.Microsecond)
}

func (c *cluster) stop() error {
	var errs []error
	if c.process != nil && c.process.Process != nil {
		errs = append(errs, c.process.Process.Signal(syscall.SIGTERM), c.process.Wait())
	}
	if c.plane != nil {
		errs = append(errs, c.plane.Stop())
	}
	return errors.Join(errs...)
}
