import { isJsonObject, type JsonObject } from '../lib/cni/json.ts';
import { PLUGIN_NAMES } from '../plugins/index.ts';

const REMOVED = '(removed)';

/** Keys whose values may be secrets, wherever they stand. */
const SECRET_KEYS = /token|passw|secret|credential|auth|private|kubeconfig|api_?key/i;

/** A network configuration list without secrets: of plugins that are not ours, the type alone. */
export function redactedList(text: string): string {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    // What it is cannot be told from its secrets.
    return `${REMOVED}: not JSON, ${text.length} characters\n`;
  }
  return `${JSON.stringify(redactedPlugins(document), undefined, 2)}\n`;
}

function redactedPlugins(document: unknown): unknown {
  if (!isJsonObject(document)) return REMOVED;
  const { plugins, type } = document;
  if (!Array.isArray(plugins)) return isOurs(type) ? withoutSecrets(document) : { name: document.name, type };
  return {
    ...(withoutSecrets({ ...document, plugins: undefined }) as JsonObject),
    plugins: plugins.map((plugin) => {
      if (!isJsonObject(plugin)) return REMOVED;
      return isOurs(plugin.type) ? withoutSecrets(plugin) : { type: plugin.type };
    }),
  };
}

function isOurs(type: unknown): boolean {
  return typeof type === 'string' && PLUGIN_NAMES.includes(type);
}

/** The same value with those of suspicious keys removed. */
export function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, SECRET_KEYS.test(key) ? REMOVED : withoutSecrets(inner)]),
  );
}

/** Pods by name, as they occur in our documents and logs: `"pod":"shop/till-0"`, and in the variables of a call. */
const POD_FIELDS = [/"pod"\s*:\s*"([^"/]+)\/([^"]+)"/g, /K8S_POD_NAMESPACE=([^;"]+);K8S_POD_NAME=([^;"]+)/g];

/** A function that replaces the names of the pods that these texts name, each by the same word everywhere. */
export function podNamesRemover(texts: readonly string[]): (text: string) => string {
  const pods = new Map<string, string>();
  for (const text of texts)
    for (const field of POD_FIELDS)
      for (const [, namespace = '', name = ''] of text.matchAll(field)) {
        const word = pods.get(`${namespace}/${name}`) ?? `pod-${pods.size + 1}`;
        pods.set(`${namespace}/${name}`, word);
      }
  // The longest first: a name can be the beginning of another.
  const words = [...pods].flatMap(([pod, word]): [string, string][] => {
    const name = pod.slice(pod.indexOf('/') + 1);
    return [
      [pod, word],
      [name, word],
    ];
  });
  const ordered = words.toSorted(([a], [b]) => b.length - a.length);
  return (text) => ordered.reduce((redacted, [name, word]) => redacted.replaceAll(name, word), text);
}
