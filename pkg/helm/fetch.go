// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package helm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/registry"
	"helm.sh/helm/v3/pkg/repo"
)

// fetchLimit bounds an index and an archive. The index of a large repository is
// some ten MiB.
const fetchLimit = 64 << 20

// Fetcher reaches chart repositories.
type Fetcher struct {
	// Client makes the requests; nil means http.DefaultClient.
	Client *http.Client
	// Scratch is a folder for the index and for the OCI credentials file,
	// which the library insists on; empty means the system's.
	Scratch string
}

// repository finds the archive in a Helm repository's index and gets it.
func (f Fetcher) repository(ctx context.Context, source Source) ([]byte, error) {
	rawIndex, err := f.get(ctx, strings.TrimSuffix(source.Repository, "/")+"/index.yaml")
	if err != nil {
		return nil, err
	}
	index, err := f.parse(rawIndex)
	if err != nil {
		return nil, err
	}
	entry, err := index.Get(source.Name, source.Version)
	if err != nil {
		return nil, fmt.Errorf("looking into index.yaml: %w", err)
	}
	if len(entry.URLs) == 0 {
		return nil, errors.New("index.yaml has no URL for that version")
	}
	archive, err := repo.ResolveReferenceURL(source.Repository, entry.URLs[0])
	if err != nil {
		return nil, fmt.Errorf("resolving the archive's URL: %w", err)
	}
	return f.get(ctx, archive)
}

// parse goes through a file because the library reads an index from nowhere
// else.
func (f Fetcher) parse(raw []byte) (*repo.IndexFile, error) {
	folder, err := os.MkdirTemp(f.Scratch, "chart-index-")
	if err != nil {
		return nil, fmt.Errorf("making a scratch folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	path := filepath.Join(folder, "index.yaml")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		return nil, fmt.Errorf("writing a scratch file: %w", err)
	}
	index, err := repo.LoadIndexFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading index.yaml: %w", err)
	}
	return index, nil
}

// oci pulls the chart layer of an image. A registry on a loopback address is
// reached without TLS, as container tools do.
func (f Fetcher) oci(ctx context.Context, source Source) ([]byte, error) {
	reference := strings.TrimSuffix(strings.TrimPrefix(source.Repository, "oci://"), "/")
	if base := reference[strings.LastIndex(reference, "/")+1:]; base != source.Name {
		reference += "/" + source.Name
	}
	folder, err := os.MkdirTemp(f.Scratch, "chart-registry-")
	if err != nil {
		return nil, fmt.Errorf("making a scratch folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	options := []registry.ClientOption{
		registry.ClientOptCredentialsFile(filepath.Join(folder, "config.json")),
		registry.ClientOptHTTPClient(&http.Client{Transport: bound{ctx: ctx, next: f.client().Transport}}),
	}
	if host, _, _ := strings.Cut(reference, "/"); loopback(host) {
		options = append(options, registry.ClientOptPlainHTTP())
	}
	client, err := registry.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("preparing the registry client: %w", err)
	}
	pulled, err := client.Pull(reference + ":" + strings.ReplaceAll(source.Version, "+", "_"))
	if err != nil {
		return nil, err
	}
	return pulled.Chart.Data, nil
}

func (f Fetcher) get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := f.client().Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s answered %s", address, response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, fetchLimit+1))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", address, err)
	}
	if len(body) > fetchLimit {
		return nil, fmt.Errorf("GET %s: larger than %d MiB", address, fetchLimit>>20)
	}
	return body, nil
}

func (f Fetcher) client() *http.Client {
	if f.Client == nil {
		return http.DefaultClient
	}
	return f.Client
}

// bound ends the registry client's requests with our context, which its Pull
// does not take.
type bound struct {
	ctx  context.Context //nolint:containedctx // See above.
	next http.RoundTripper
}

// RoundTrip makes the request under our context.
func (b bound) RoundTrip(request *http.Request) (*http.Response, error) {
	next := b.next
	if next == nil {
		next = http.DefaultTransport
	}
	return next.RoundTrip(request.WithContext(b.ctx))
}

func loopback(host string) bool {
	parsed, err := url.Parse("//" + host)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(parsed.Hostname())
	return parsed.Hostname() == "localhost" || (err == nil && addr.IsLoopback())
}
