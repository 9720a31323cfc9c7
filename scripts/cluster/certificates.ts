import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './process.ts';

// The cluster's certificates, by openssl(1). All are of one authority, and good for a month.

/** The paths of a certificate and its key. */
export type Certificate = { readonly certificate: string; readonly key: string };

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30'];

/** Makes the authority `ca`, and the keys `service-accounts` that tokens are signed and verified with. */
export function makeAuthority(folder: string): void {
  const { certificate, key } = pathsOf(folder, 'ca');
  run(['openssl', 'req', '-x509', ...KEY, '-subj', '/CN=waymark-cluster', '-keyout', key, '-out', certificate]);
  const tokens = pathsOf(folder, 'service-accounts');
  run(['openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-out', tokens.key]);
  run(['openssl', 'pkey', '-in', tokens.key, '-pubout', '-out', tokens.certificate]);
}

/**
 * Makes a certificate for a server or client. Kubernetes takes the user's name from `commonName`, and the groups from
 * `organization`; `names` are the server's, `DNS:…` or `IP:…`.
 */
export function makeCertificate(
  folder: string,
  name: string,
  { commonName, organization, names = [] }: { commonName: string; organization?: string; names?: readonly string[] },
): Certificate {
  const paths = pathsOf(folder, name);
  const authority = pathsOf(folder, 'ca');
  const settings = join(folder, `${name}.cnf`);
  const lines = [
    '[req]',
    'distinguished_name = subject',
    'x509_extensions = extensions',
    'prompt = no',
    '[subject]',
    ...(organization === undefined ? [] : [`O = ${organization}`]),
    `CN = ${commonName}`,
    '[extensions]',
    'basicConstraints = critical, CA:FALSE',
    'keyUsage = critical, digitalSignature',
    'extendedKeyUsage = clientAuth, serverAuth',
    ...(names.length === 0 ? [] : [`subjectAltName = ${names.join(', ')}`]),
  ];
  writeFileSync(settings, `${lines.join('\n')}\n`);
  const signer = ['-CA', authority.certificate, '-CAkey', authority.key];
  const out = ['-keyout', paths.key, '-out', paths.certificate];
  run(['openssl', 'req', '-x509', '-config', settings, ...KEY, ...signer, ...out]);
  return paths;
}

/** Where a certificate and its key are. */
export function pathsOf(folder: string, name: string): Certificate {
  return { certificate: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
}

/** Makes a certificate for a client of the API server, and the kubeconfig that uses it; the kubeconfig's path. */
export function makeKubeconfig(folder: string, name: string, commonName: string, organization?: string): string {
  const { certificate, key } = makeCertificate(folder, name, { commonName, ...(organization && { organization }) });
  const path = join(folder, `${name}.kubeconfig`);
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'waymark',
        cluster: { server: 'https://10.96.0.1', 'certificate-authority': pathsOf(folder, 'ca').certificate },
      },
    ],
    users: [{ name, user: { 'client-certificate': certificate, 'client-key': key } }],
    contexts: [{ name, context: { cluster: 'waymark', user: name } }],
    'current-context': name,
  };
  writeFileSync(path, JSON.stringify(config, null, 2));
  return path;
}
