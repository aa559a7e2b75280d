// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/extauth-guard/extauth-guard/pkg/config"
)

// Presents waits until the server of settings presents a certificate that the
// given CA signed, or ctx ends.
func Presents(ctx context.Context, settings config.WebhookConfig, ca []byte) error {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return errors.New("the CA is not PEM")
	}
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(settings.Server.Port))
	var last error
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		var conn net.Conn
		if conn, last = dialer.DialContext(ctx, "tcp", address); last != nil {
			return false, nil //nolint:nilerr // kept for the message, if it never works
		}
		return true, conn.Close()
	})
	if err != nil {
		return fmt.Errorf("waiting for the new certificate: %w", errors.Join(err, last))
	}
	return nil
}
