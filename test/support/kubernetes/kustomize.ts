import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { run, works } from '../namespaces/namespace.ts';

/** A Kubernetes object in a manifest. */
export type Manifest = {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Strings; annotations?: Strings };
  [key: string]: unknown;
};

type Strings = { [key: string]: string };

// scripts/setup.sh installs kustomize; kubectl has it built in.
const [program, ...subcommand] =
  [
    ['kustomize', 'build'],
    ['kubectl', 'kustomize'],
  ].find(([name = '']) => works(name, ['version', '--client'])) ?? [];

/** Why nothing can be rendered here, or false. For tap's `skip`. */
export const noKustomize: string | false = program === undefined ? 'needs kustomize or kubectl' : false;

/** The objects that `kubectl apply -k` would send for this folder, by the real kustomize. */
export function render(folder: string): Manifest[] {
  return parseManifests(run(program ?? 'kustomize', [...subcommand, folder]));
}

/** The objects that `kubectl apply -f` would send for this file, or for the files of this folder. */
export function readManifests(path: string): Manifest[] {
  const files = statSync(path).isDirectory() ? readdirSync(path).map((name) => join(path, name)) : [path];
  return files.flatMap((file) => parseManifests(readFileSync(file, 'utf8')));
}

function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text).map((document) => {
    if (document.errors[0] !== undefined) throw document.errors[0];
    return document.toJS();
  });
}
