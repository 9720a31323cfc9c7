import { PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule';
import { ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor';
import { Ajv } from 'ajv';
import { CustomResourceDefinition } from 'kubernetes-models/apiextensions.k8s.io/v1/CustomResourceDefinition';
import { DaemonSet } from 'kubernetes-models/apps/v1/DaemonSet';
import { Deployment } from 'kubernetes-models/apps/v1/Deployment';
import { ClusterRole } from 'kubernetes-models/rbac.authorization.k8s.io/v1/ClusterRole';
import { ClusterRoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1/ClusterRoleBinding';
import { Role } from 'kubernetes-models/rbac.authorization.k8s.io/v1/Role';
import { RoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1/RoleBinding';
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap';
import { Namespace } from 'kubernetes-models/v1/Namespace';
import { Pod } from 'kubernetes-models/v1/Pod';
import { ResourceQuota } from 'kubernetes-models/v1/ResourceQuota';
import { Service } from 'kubernetes-models/v1/Service';
import { ServiceAccount } from 'kubernetes-models/v1/ServiceAccount';
import type { Manifest } from './kustomize.ts';

/** A class that npm packages generate from the schemas that Kubernetes and the Prometheus operator publish. */
type Model = { readonly apiVersion: string; readonly kind: string; readonly prototype: { validate(): void } };

const MODELS: readonly Model[] = [
  ClusterRole,
  ClusterRoleBinding,
  Role,
  ConfigMap,
  CustomResourceDefinition,
  DaemonSet,
  Deployment,
  Namespace,
  Pod,
  PrometheusRule,
  ResourceQuota,
  RoleBinding,
  Service,
  ServiceAccount,
  ServiceMonitor,
];

/**
 * The schema of the NetworkAttachmentDefinition (artifacts/networks-crd.yaml of
 * k8snetworkplumbingwg/network-attachment-definition-client). No npm package has it.
 */
const networkAttachmentDefinition = new Ajv({ allErrors: true }).compile({
  type: 'object',
  required: ['apiVersion', 'kind', 'metadata', 'spec'],
  properties: {
    apiVersion: { const: 'k8s.cni.cncf.io/v1' },
    kind: { const: 'NetworkAttachmentDefinition' },
    metadata: {
      type: 'object',
      required: ['name'],
      properties: { name: { type: 'string' }, namespace: { type: 'string' } },
      additionalProperties: false,
    },
    spec: {
      type: 'object',
      required: ['config'],
      properties: { config: { type: 'string' } },
      additionalProperties: false,
    },
  },
  additionalProperties: false,
});

/**
 * What an API server would reject in this object: values that the schema of its kind does not allow, and unknown keys.
 * Empty if it would accept the object.
 */
export function schemaProblems(manifest: Manifest): string[] {
  const { apiVersion, kind } = manifest;
  if (kind === 'NetworkAttachmentDefinition')
    return networkAttachmentDefinition(manifest) ? [] : (networkAttachmentDefinition.errors ?? []).map(problemOf);
  const model = MODELS.find((each) => each.apiVersion === apiVersion && each.kind === kind);
  if (model === undefined) return [`no schema for ${apiVersion} ${kind}`];
  const unread = new Set<string>();
  try {
    model.prototype.validate.call(watched(manifest, '', unread));
  } catch (error) {
    return ((error as { errors?: Problem[] }).errors ?? []).map(problemOf);
  }
  return [...unread].map((path) => `${path} is unknown`);
}

type Problem = { instancePath: string; message?: string };

function problemOf({ instancePath, message = 'is wrong' }: Problem): string {
  return `${instancePath} ${message}`;
}

/**
 * A copy of the value that tracks in `unread` every key that nobody has read yet. The packages' schemas accept unknown keys,
 * as an API server without strict validation does; a key that no validator has read is unknown.
 */
function watched(value: unknown, path: string, unread: Set<string>): unknown {
  if (typeof value !== 'object' || value === null) return value;
  for (const key of Object.keys(value)) unread.add(`${path}/${key}`);
  return new Proxy(value, {
    get: (target, key) => {
      const read: unknown = Reflect.get(target, key);
      if (typeof key === 'symbol' || !Object.hasOwn(target, key)) return read;
      unread.delete(`${path}/${key}`);
      return watched(read, `${path}/${key}`, unread);
    },
  });
}
