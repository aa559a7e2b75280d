// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bench measures what extauth-guard costs a request, on a real API
// server, against the same request without webhooks and with webhooks that do
// nothing. docs/benchmarks.md says how and why.
//
// It prints a table and writes results.json, table.md and plots to -out.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// What the API server speaks to webhooks.
const (
	http1 = "HTTP/1.1"
	http2 = "HTTP/2"
)

// usualObjects is how many APIRules, and as many Services, budgets are about.
const usualObjects = 10_000

// usualConcurrency is how many requests are under way at once in what budgets
// are about.
const usualConcurrency = "1,10,50"

func main() {
	var o options
	quick := flag.Bool("quick", false, "measure less, in under two minutes")
	out := flag.String("out", filepath.Join("bin", "bench"), "`directory` for the results")
	flag.IntVar(&o.rounds, "rounds", 24, "rounds")
	flag.IntVar(&o.block, "block", 100, "requests of a scenario in a round, with one under way; twice and four times as many with several")
	flag.IntVar(&o.objects, "objects", usualObjects, "APIRules and Services in the large cluster")
	flag.IntVar(&o.authorizers, "authorizers", 1000, "authorizers in the large cluster")
	flag.BoolVar(&o.real, "real", true, "measure creates that are stored, too")
	flag.BoolVar(&o.http1, "http1", false, "have the API server speak HTTP/1.1 to webhooks, as it does to a Service")
	flag.BoolVar(&o.collect, "collect", true, "have the API servers and this program collect garbage between blocks and not during them; takes up to 2 GiB each")
	flag.StringVar(&o.limit, "gomemlimit", "90MiB", "GOMEMLIMIT of a further start in the large cluster")
	concurrency := flag.String("concurrency", usualConcurrency, "how many requests are under way at once; 1 has to be among them, because processor time is that with 1")
	rendered := flag.String("render", "", "measure nothing, and write this results.json `file` into docs/benchmarks.md")
	flag.Parse()
	if *quick {
		o.rounds, o.block, o.objects, o.real = 2, 30, 1000, false
	}
	ctrl.SetLogger(logr.Discard()) // envtest's own log
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if o.concurrency, err = parseConcurrency(*concurrency); err == nil {
		err = benchOrRender(ctx, *out, *rendered, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// parseConcurrency reads numbers that are separated by commas.
func parseConcurrency(text string) ([]int, error) {
	var all []int
	for one := range strings.SplitSeq(text, ",") {
		number, err := strconv.Atoi(strings.TrimSpace(one))
		if err != nil || number < 1 {
			return nil, fmt.Errorf("reading -concurrency: %q is no number above 0; it has to be like %s", one, usualConcurrency)
		}
		all = append(all, number)
	}
	if !slices.Contains(all, 1) {
		return nil, fmt.Errorf("reading -concurrency: %q has no 1 in it, with which processor time is measured; add it", text)
	}
	return all, nil
}

func benchOrRender(ctx context.Context, out, rendered string, o options) error {
	if rendered == "" {
		return bench(ctx, out, o, os.Stdout, os.Stderr)
	}
	root, err := checkout.Root()
	if err != nil {
		return err
	}
	return render(rendered, root)
}

func bench(ctx context.Context, out string, o options, stdout, stderr io.Writer) (err error) {
	if o.rounds < 1 || o.block < small {
		return fmt.Errorf("reading the flags: -rounds is %d and -block %d; they have to be at least 1 and %d", o.rounds, o.block, small)
	}
	begin, loadBefore := time.Now(), loadAverage()
	if o.collect {
		collectWhenTold()
	}
	root, err := checkout.Root()
	if err != nil {
		return err
	}
	directory, err := os.MkdirTemp("", "extauth-guard-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	seed := [2]uint64{uint64(begin.Unix()), 1}
	random := rand.New(rand.NewPCG(seed[0], seed[1])) //nolint:gosec // as above
	s, err := openStage(ctx, root, directory, o, random, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	r, err := s.results(ctx)
	if err != nil {
		return err
	}
	r.Meta = meta{
		Time: begin.UTC().Format(time.RFC3339), Version: version(ctx, root), Kubernetes: s.kubernetes(ctx),
		Go: runtime.Version(), CPU: processor(), CPUs: runtime.NumCPU(), Protocol: http2,
		Rounds: o.rounds, Block: o.block, Blocks: blocksOf(o.block), Objects: o.objects, Authorizers: o.authorizers, Concurrency: o.concurrency,
		LoadBefore: loadBefore, LoadAfter: loadAverage(), Took: time.Since(begin).Round(time.Second).String(), Seed: seed,
	}
	if o.http1 {
		r.Meta.Protocol = http1
	}
	return write(out, r, stdout)
}

// results measures everything.
func (s *stage) results(ctx context.Context) (results, error) {
	if err := s.grow(ctx); err != nil {
		return results{}, err
	}
	blocks, err := s.measureAll(ctx, true)
	if err != nil {
		return results{}, err
	}
	r := summarise(blocks, s.concurrency, s.random)
	if s.real {
		stored, err := s.measureAll(ctx, false)
		if err != nil {
			return results{}, err
		}
		r.Real = new(summarise(stored, s.concurrency, s.random))
	}
	server := s.small.servers[oursServer]
	used, err := server.memory()
	if err != nil {
		return results{}, err
	}
	heap, err := s.small.heap(ctx)
	if err != nil {
		return results{}, err
	}
	r.Growth = s.growth
	r.Webhook = webhookCost{
		RSS: rounded(used.now), Heap: rounded(heap), Ready: rounded(server.ready.Seconds()),
		CPU: r.Cases["d"][concurrencyName(1)].CPU, Large: s.largeCosts,
	}
	return r, nil
}

// write writes the files and prints the table.
func write(out string, r results, stdout io.Writer) error {
	if err := os.MkdirAll(out, 0o750); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the results: %w", err)
	}
	var table strings.Builder
	writeTable(&table, r)
	_, err = io.WriteString(stdout, table.String())
	errs := []error{err}
	for name, content := range map[string]string{
		"results.json": string(raw) + "\n", "table.md": table.String(),
		"ratios.svg": plotRatios(r), "growth.svg": plotGrowth(r.Growth),
	} {
		errs = append(errs, os.WriteFile(filepath.Join(out, name), []byte(content), 0o600))
	}
	return errors.Join(errs...)
}

func (s *stage) kubernetes(ctx context.Context) string {
	var version struct {
		GitVersion string `json:"gitVersion"`
	}
	raw, err := s.small.send(ctx, "GET", "/version", "", nil)
	if err != nil || json.Unmarshal(raw, &version) != nil {
		return "unknown"
	}
	return version.GitVersion
}

func version(ctx context.Context, root string) string {
	describe := exec.CommandContext(ctx, "git", "describe", "--tags", "--always", "--dirty")
	describe.Dir = root
	raw, err := describe.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(raw))
}

// loadAverage says how busy the machine is; "" where nobody knows.
func loadAverage() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(raw), " ")
	return first
}

func processor() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	_, rest, _ := strings.Cut(string(raw), "model name")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), ":"))
}
