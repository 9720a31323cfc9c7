import { join } from 'node:path';
import { makeAuthority, makeCertificate, makeKubeconfig, pathsOf } from './certificates.ts';

// etcd, the API server, the controller manager and the scheduler. They share the cluster's own network namespace, whose
// address 10.0.32.1 is the nodes' gateway; 10.96.0.1, the service `kubernetes`, is on its loopback interface.

/** The address that the API server tells. */
export const CONTROL_PLANE_ADDRESS = '10.0.32.1';
const SERVICE_NETWORK = '10.96.0.0/16';

/** Makes the certificates of a cluster in a folder. */
export function makeCredentials(folder: string): void {
  makeAuthority(folder);
  const services = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc'].map((name) => `DNS:${name}`);
  const addresses = ['10.96.0.1', CONTROL_PLANE_ADDRESS, '127.0.0.1'].map((address) => `IP:${address}`);
  makeCertificate(folder, 'api-server', { commonName: 'kube-apiserver', names: [...services, ...addresses] });
  makeCertificate(folder, 'api-server-client', { commonName: 'kube-apiserver', organization: 'system:masters' });
  makeKubeconfig(folder, 'admin', 'admin', 'system:masters');
  makeKubeconfig(folder, 'controller-manager', 'system:kube-controller-manager');
  makeKubeconfig(folder, 'scheduler', 'system:kube-scheduler');
}

/** A program of the control plane, and its arguments. */
export type Daemon = { readonly name: string; readonly command: readonly string[] };

/** etcd; `data` is in memory. */
export function etcd(program: string, data: string): Daemon {
  return { name: 'etcd', command: [program, `--data-dir=${data}/etcd`, '--logger=zap', '--log-level=warn'] };
}

/** The API server. `programs` is the folder of Kubernetes' programs. */
export function apiServer(programs: string, pki: string, auditLog: string): Daemon {
  const command = [join(programs, 'kube-apiserver'), ...apiServerFlags(pki)];
  const audit = [
    `--audit-policy-file=${join(import.meta.dirname, 'audit-policy.yaml')}`,
    `--audit-log-path=${auditLog}`,
  ];
  return { name: 'kube-apiserver', command: [...command, ...audit] };
}

/** What is started when the API server answers: the controller manager ends where it does not. */
export function controllers(programs: string, pki: string): Daemon[] {
  const kubeconfig = (name: string) => `--kubeconfig=${join(pki, `${name}.kubeconfig`)}`;
  return [
    {
      name: 'kube-controller-manager',
      command: [
        join(programs, 'kube-controller-manager'),
        kubeconfig('controller-manager'),
        '--bind-address=127.0.0.1',
        '--leader-elect=false',
        // Each controller with its own account: RBAC knows no rights of the manager itself.
        '--use-service-account-credentials=true',
        `--service-account-private-key-file=${pathsOf(pki, 'service-accounts').key}`,
        `--root-ca-file=${pathsOf(pki, 'ca').certificate}`,
      ],
    },
    {
      name: 'kube-scheduler',
      command: [
        join(programs, 'kube-scheduler'),
        kubeconfig('scheduler'),
        '--bind-address=127.0.0.1',
        '--leader-elect=false',
      ],
    },
  ];
}

function apiServerFlags(pki: string): string[] {
  const server = pathsOf(pki, 'api-server');
  const client = pathsOf(pki, 'api-server-client');
  const tokens = pathsOf(pki, 'service-accounts');
  return [
    '--etcd-servers=http://127.0.0.1:2379',
    '--bind-address=0.0.0.0',
    // The service's own port: nothing has to translate it.
    '--secure-port=443',
    `--advertise-address=${CONTROL_PLANE_ADDRESS}`,
    `--service-cluster-ip-range=${SERVICE_NETWORK}`,
    `--tls-cert-file=${server.certificate}`,
    `--tls-private-key-file=${server.key}`,
    `--client-ca-file=${pathsOf(pki, 'ca').certificate}`,
    `--kubelet-client-certificate=${client.certificate}`,
    `--kubelet-client-key=${client.key}`,
    // Nobody resolves the nodes' names.
    '--kubelet-preferred-address-types=InternalIP',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${tokens.certificate}`,
    `--service-account-signing-key-file=${tokens.key}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
  ];
}
