// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/extauth-guard/extauth-guard/test/harness/oauth2proxy"
)

// pods are the replicas of one revision of a Deployment.
type pods struct {
	replicas []*oauth2proxy.Process
	folder   string
}

func (p *pods) stop() {
	for _, replica := range p.replicas {
		_ = replica.Stop()
	}
	_ = os.RemoveAll(p.folder)
}

func (p *pods) log() string {
	var log strings.Builder
	for _, replica := range p.replicas {
		log.WriteString(replica.Log())
	}
	return log.String()
}

// startPods runs what the Deployment's container would, once for each replica,
// and waits until all are ready.
func startPods(ctx context.Context, c client.Client, deployment *appsv1.Deployment) (*pods, error) {
	folder, err := os.MkdirTemp("", "extauth-pods-")
	if err != nil {
		return nil, err
	}
	started := &pods{folder: folder}
	options, err := readContainer(ctx, c, deployment, folder)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	for range *deployment.Spec.Replicas {
		replica, err := oauth2proxy.New(ctx, options)
		if err != nil {
			started.stop()
			return nil, err
		}
		started.replicas = append(started.replicas, replica)
	}
	return started, nil
}

// readContainer returns the container's arguments and environment, and writes its
// files below folder.
func readContainer(ctx context.Context, c client.Client, deployment *appsv1.Deployment, folder string) (oauth2proxy.Options, error) {
	spec := deployment.Spec.Template.Spec
	container := spec.Containers[0]
	var options oauth2proxy.Options
	for _, env := range container.Env {
		value := env.Value
		if env.ValueFrom != nil && env.ValueFrom.SecretKeyRef != nil {
			ref := env.ValueFrom.SecretKeyRef
			data, err := secretData(ctx, c, deployment.Namespace, ref.Name)
			if err != nil {
				return options, err
			}
			if data[ref.Key] == nil {
				return options, fmt.Errorf("couldn't find key %s in Secret %s/%s", ref.Key, deployment.Namespace, ref.Name)
			}
			value = string(data[ref.Key])
		}
		options.Env = append(options.Env, env.Name+"="+value)
	}
	options.Args = append(options.Args, container.Args...)
	for _, volume := range spec.Volumes {
		if err := writeVolume(ctx, c, deployment.Namespace, volume, filepath.Join(folder, volume.Name)); err != nil {
			return options, err
		}
	}
	for _, mount := range container.VolumeMounts {
		inside := filepath.Join(folder, mount.Name, mount.SubPath)
		for i, arg := range options.Args {
			options.Args[i] = strings.Replace(arg, "="+mount.MountPath, "="+inside, 1)
		}
	}
	return options, nil
}

// writeVolume knows ConfigMaps and Secrets.
func writeVolume(ctx context.Context, c client.Client, namespace string, volume corev1.Volume, folder string) error {
	files := map[string][]byte{}
	switch {
	case volume.ConfigMap != nil:
		var config corev1.ConfigMap
		if err := c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: volume.ConfigMap.Name}, &config); err != nil {
			return err
		}
		for key, value := range config.Data {
			files[key] = []byte(value)
		}
	case volume.Secret != nil:
		data, err := secretData(ctx, c, namespace, volume.Secret.SecretName)
		if err != nil {
			return err
		}
		for _, item := range volume.Secret.Items {
			files[item.Path] = data[item.Key]
		}
	default:
		return fmt.Errorf("volume %s: the stand-in of a kubelet knows ConfigMaps and Secrets only", volume.Name)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func secretData(ctx context.Context, c client.Client, namespace, name string) (map[string][]byte, error) {
	var secret corev1.Secret
	if err := c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &secret); err != nil {
		return nil, err
	}
	return secret.Data, nil
}
