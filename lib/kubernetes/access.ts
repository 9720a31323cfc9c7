import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Variables } from '../cni/request.ts';
import { AccessError } from './errors.ts';

/** Where the API server is, and what we show it. */
export type ApiAccess = {
  /** `https://host:port`, without a slash at the end; a path is possible (a proxy in front). */
  readonly server: string;
  /** Read again for every request, since tokens and certificates are replaced while we run. Throws AccessError. */
  credentials(): Credentials;
};

export type Credentials = {
  readonly ca?: string | undefined;
  readonly token?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** The server's certificate is not verified: only where a kubeconfig says so. */
  readonly insecure?: boolean | undefined;
};

/** Where the kubelet puts a pod's own account. */
export const ACCOUNT_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The pod's own account. undefined if this process is not in a pod, or its pod has no account. */
export function inClusterAccess(env: Variables, folder: string = ACCOUNT_FOLDER): ApiAccess | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (!host) return undefined;
  try {
    readFileSync(join(folder, 'token'));
  } catch {
    return undefined;
  }
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    credentials: () => ({ ca: readText(join(folder, 'ca.crt')), token: readText(join(folder, 'token')).trim() }),
  };
}

type Named<K extends string, T> = readonly ({ readonly name?: string } & { readonly [key in K]?: T })[];
type Kubeconfig = {
  readonly 'current-context'?: string;
  readonly contexts?: Named<'context', { cluster?: string; user?: string }>;
  readonly clusters?: Named<'cluster', Cluster>;
  readonly users?: Named<'user', User>;
};
type Cluster = {
  readonly server?: string;
  readonly 'certificate-authority'?: string;
  readonly 'certificate-authority-data'?: string;
  readonly 'insecure-skip-tls-verify'?: boolean;
};
type User = {
  readonly token?: string;
  readonly tokenFile?: string;
  readonly 'client-certificate'?: string;
  readonly 'client-certificate-data'?: string;
  readonly 'client-key'?: string;
  readonly 'client-key-data'?: string;
  readonly exec?: object;
  readonly 'auth-provider'?: object;
};

/**
 * The current context of a kubeconfig file
 * (https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/). Programs that print credentials (`exec`) are not
 * run. Throws AccessError.
 */
export async function kubeconfigAccess(path: string): Promise<ApiAccess> {
  // YAML is loaded only where it is needed: in a pod it is not.
  const { parse } = await import('yaml');
  const config = parseConfig(path, readText(path), parse);
  const context = named(config.contexts, config['current-context'])?.context;
  const cluster = named(config.clusters, context?.cluster)?.cluster;
  const user = named(config.users, context?.user)?.user ?? {};
  if (cluster?.server === undefined)
    throw new AccessError(`${path}: the current context names no cluster with a server`);
  if (user.exec !== undefined || user['auth-provider'] !== undefined) {
    throw new AccessError(`${path}: credentials from a program (exec, auth-provider) are not supported; use a token`);
  }
  if (!/^https?:\/\//.test(cluster.server)) throw new AccessError(`${path}: "server" is not an http(s) address`);
  const folder = dirname(path);
  return { server: cluster.server.replace(/\/+$/, ''), credentials: () => credentialsOf(cluster, user, folder) };
}

function parseConfig(path: string, text: string, parse: (text: string) => unknown): Kubeconfig {
  try {
    const config = parse(text);
    if (typeof config === 'object' && config !== null) return config as Kubeconfig;
  } catch (error) {
    throw new AccessError(`${path} is not YAML: ${(error as Error).message.split('\n')[0]}`, error);
  }
  throw new AccessError(`${path} is not a kubeconfig file`);
}

function credentialsOf(cluster: Cluster, user: User, folder: string): Credentials {
  const text = (data: string | undefined, file: string | undefined) => {
    if (data !== undefined) return Buffer.from(data, 'base64').toString();
    return file === undefined ? undefined : readText(resolve(folder, file));
  };
  return {
    ca: text(cluster['certificate-authority-data'], cluster['certificate-authority']),
    token: user.tokenFile === undefined ? user.token : readText(resolve(folder, user.tokenFile)).trim(),
    cert: text(user['client-certificate-data'], user['client-certificate']),
    key: text(user['client-key-data'], user['client-key']),
    insecure: cluster['insecure-skip-tls-verify'],
  };
}

function named<T extends { readonly name?: string }>(list: readonly T[] | undefined, name: string | undefined) {
  return list?.find((item) => item.name === name);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new AccessError(`${path} cannot be read (${(error as NodeJS.ErrnoException).code})`, error);
  }
}
