// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// options say how much is measured.
type options struct {
	rounds      int
	block       int
	concurrency []int
	objects     int
	authorizers int
	real        bool
	http1       bool
	collect     bool
	limit       string // GOMEMLIMIT of the last start in the large cluster
}

// stage is two clusters that run at the same time: a small one and a large one.
type stage struct {
	options
	random       *rand.Rand
	progress     io.Writer
	small, large *plane
	growth       []point
	largeCosts   []largeCost
}

// openStage builds the programs, starts both clusters and everything in them.
func openStage(ctx context.Context, root, directory string, o options, random *rand.Rand, progress io.Writer) (_ *stage, err error) {
	s := &stage{options: o, random: random, progress: progress}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	built := programs{ours: filepath.Join(directory, "webhook"), noop: filepath.Join(directory, "noop")}
	for program, source := range map[string]string{built.ours: "./cmd/webhook", built.noop: "./hack/measure/admission/noop"} {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, source)
		build.Dir, build.Stderr = root, os.Stderr
		if err := build.Run(); err != nil {
			return nil, fmt.Errorf("building %s: %w", source, err)
		}
	}
	s.say("Starting two control planes …")
	restore, err := setEnvironment(apiServerEnvironment(o))
	if err != nil {
		return nil, err
	}
	var group errgroup.Group
	group.Go(func() (err error) {
		s.small, err = openPlane(ctx, root, filepath.Join(directory, "small"), built, o.collect)
		return err
	})
	group.Go(func() (err error) {
		s.large, err = openPlane(ctx, root, filepath.Join(directory, "large"), built, o.collect)
		return err
	})
	if err := errors.Join(group.Wait(), restore()); err != nil {
		return nil, err
	}
	return s, s.prepare(ctx)
}

func (s *stage) prepare(ctx context.Context) error {
	for _, side := range []struct {
		plane       *plane
		large       bool
		authorizers int
	}{{s.small, false, 1}, {s.large, true, s.authorizers}} {
		own := sideOf(side.large)
		if err := side.plane.prepare(ctx, own, side.authorizers); err != nil {
			return fmt.Errorf("preparing a cluster: %w", err)
		}
		if err := side.plane.serveOurs(ctx); err != nil {
			return err
		}
		var namespaces []string
		for _, one := range own {
			if one.server == oursServer {
				namespaces = append(namespaces, one.namespace())
			}
		}
		if err := side.plane.registerOurs(ctx, namespaces); err != nil {
			return fmt.Errorf("registering the webhooks: %w", err)
		}
	}
	if err := s.small.serveNoop(ctx); err != nil {
		return err
	}
	if err := s.small.registerGuarantee(ctx); err != nil {
		return fmt.Errorf("registering the admission policies: %w", err)
	}
	for _, one := range scenarios() {
		if err := s.on(one).verify(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

func sideOf(large bool) []scenario {
	var side []scenario
	for _, one := range scenarios() {
		if one.large == large {
			side = append(side, one)
		}
	}
	return side
}

func (s *stage) on(one scenario) *plane {
	if one.large {
		return s.large
	}
	return s.small
}

// grow fills the large cluster, measures on the way, and starts the webhook anew
// once it is full.
func (s *stage) grow(ctx context.Context) error {
	with, without := byName("e"), byName("ea")
	reached := 0
	for size := 10; ; size *= 10 {
		size = min(size, s.objects)
		s.say("Growing the large cluster to %d APIRules and Services …", size)
		begin := time.Now()
		if err := s.large.populate(ctx, reached, size); err != nil {
			return fmt.Errorf("filling the large cluster: %w", err)
		}
		s.say("  took %s", time.Since(begin).Round(time.Second))
		reached = size
		measured := recording{}
		for range max(3, s.rounds/2) {
			if err := s.round(ctx, measured, []scenario{with, without}, 1, true); err != nil {
				return err
			}
		}
		s.growth = append(s.growth, point{
			Objects: size,
			With:    cellOf(measured[key{with.name, 1}]).P50,
			Without: cellOf(measured[key{without.name, 1}]).P50,
		})
		if size == s.objects {
			break
		}
	}
	limits := []string{""}
	if s.limit != "" {
		limits = append(limits, s.limit)
	}
	for _, limit := range limits {
		var env []string
		if limit != "" {
			env = []string{"GOMEMLIMIT=" + limit}
		}
		if err := s.large.serveOurs(ctx, env...); err != nil {
			return err
		}
		if err := s.large.verify(ctx, with); err != nil {
			return err
		}
		cost, err := s.costOfLarge(ctx, limit)
		if err != nil {
			return err
		}
		s.largeCosts = append(s.largeCosts, cost)
	}
	return nil
}

func (s *stage) costOfLarge(ctx context.Context, limit string) (largeCost, error) {
	sweep, err := s.large.sweep(ctx, s.objects)
	if err != nil {
		return largeCost{}, err
	}
	server := s.large.servers[oursServer]
	used, err := server.memory()
	if err != nil {
		return largeCost{}, err
	}
	heap, err := s.large.heap(ctx)
	return largeCost{
		Objects: s.objects, GoMemLimit: limit, Ready: rounded(server.ready.Seconds()), Sweep: rounded(sweep),
		RSS: rounded(used.now), Peak: rounded(used.peak), Heap: rounded(heap),
	}, err
}

func byName(name string) scenario {
	for _, one := range scenarios() {
		if one.name == name {
			return one
		}
	}
	return scenario{}
}

// measureAll runs the rounds.
func (s *stage) measureAll(ctx context.Context, dryRun bool) (recording, error) {
	var chosen []scenario
	for _, one := range scenarios() {
		if dryRun || one.real {
			chosen = append(chosen, one)
		}
	}
	rounds := s.rounds
	if !dryRun { // they take longer, and say less about admission
		rounds = max(3, rounds/4)
	}
	blocks := recording{}
	for round := range rounds + 1 { // the first warms everything up and is not kept
		into := blocks
		if round == 0 {
			into = recording{}
		}
		begin := time.Now()
		for _, concurrency := range s.concurrency {
			if err := s.round(ctx, into, chosen, concurrency, dryRun); err != nil {
				return nil, err
			}
		}
		s.say("Round %d of %d, dry run %t: %s", round, rounds, dryRun, time.Since(begin).Round(100*time.Millisecond))
	}
	return blocks, nil
}

// round measures each scenario in several turns, in random order, and those that
// budgets are about twice in each, so that their figures say more.
func (s *stage) round(ctx context.Context, into recording, chosen []scenario, concurrency int, dryRun bool) error {
	order := slices.Clone(chosen)
	for _, one := range chosen {
		if one.twice && dryRun {
			order = append(order, one)
		}
	}
	measured := map[string]block{}
	turns, requests := turnsOf(s.block, concurrency)
	for range turns {
		s.random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, one := range order {
			part, err := s.on(one).measure(ctx, one, concurrency, requests, dryRun)
			if err != nil {
				return fmt.Errorf("measuring %s: %w", one.name, err)
			}
			measured[one.name] = measured[one.name].plus(part)
		}
	}
	for name, whole := range measured {
		at := key{name, concurrency}
		into[at] = append(into[at], whole)
	}
	return nil
}

// turnsOf returns how many blocks a round has of a scenario, and how many requests
// each has, if the usual number is that of a round with one under way.
//
// With one under way the blocks are as small as can be, so that what slows the
// machine down for a second meets all scenarios. With several under way there is
// one, twice as long, which takes less time nevertheless, and with many four times:
// the first and the last of its requests find fewer others under way, and that has
// to be a small part.
func turnsOf(usual, concurrency int) (turns, requests int) {
	switch {
	case concurrency == 1:
		return max(1, usual/small), small
	case concurrency < many:
		return 1, 2 * usual
	}
	return 1, 4 * usual
}

const (
	// small is the number of requests of a block with one under way.
	small = 10
	// many is a concurrency that takes longer blocks.
	many = 50
)

func (s *stage) close() error {
	return errors.Join(s.small.close(), s.large.close())
}

func (s *stage) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.progress, "%s "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}
