// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build node || mesh

package node

import (
	"context"
	"errors"
	"net"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// dns answers for Services of the cluster, and for nothing else.
type dns struct {
	client kubernetes.Interface
	socket net.PacketConn
}

// serve answers until the socket is closed.
func (d *dns) serve(ctx context.Context) error {
	buffer := make([]byte, 4096)
	for {
		size, from, err := d.socket.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		var query dnsmessage.Message
		if query.Unpack(buffer[:size]) != nil || len(query.Questions) == 0 {
			continue
		}
		answer, err := d.answer(ctx, query).Pack()
		if err == nil {
			_, _ = d.socket.WriteTo(answer, from)
		}
	}
}

func (d *dns) answer(ctx context.Context, query dnsmessage.Message) *dnsmessage.Message {
	question := query.Questions[0]
	answer := &dnsmessage.Message{
		Header:    dnsmessage.Header{ID: query.ID, Response: true, Authoritative: true, RCode: dnsmessage.RCodeNameError},
		Questions: query.Questions[:1],
	}
	name, ok := strings.CutSuffix(question.Name.String(), ".svc.cluster.local.")
	service, namespace, two := strings.Cut(name, ".")
	if !ok || !two {
		return answer
	}
	found, err := d.client.CoreV1().Services(namespace).Get(ctx, service, metav1.GetOptions{})
	if err != nil {
		return answer
	}
	answer.RCode = dnsmessage.RCodeSuccess
	if ip := net.ParseIP(found.Spec.ClusterIP).To4(); ip != nil && question.Type == dnsmessage.TypeA {
		answer.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: question.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 5},
			Body:   &dnsmessage.AResource{A: [4]byte(ip)},
		}}
	}
	return answer
}
