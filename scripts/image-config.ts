import { readFileSync } from 'node:fs';

// Reads the settings of an image from the last stage of its Dockerfile, and prints them as arguments of `umoci config`,
// one per line. Build arguments come from the environment. Usage: image-config.ts <Dockerfile>

const values = new Map<string, string>();

/** The `umoci config` option for each instruction of the last stage; image-root.sh takes care of the files. */
const INSTRUCTIONS: { [name: string]: (rest: string) => string[] } = {
  ARG: (rest) => {
    const [name = '', fallback] = rest.split('=');
    const value = process.env[name] ?? fallback;
    if (!value) throw new Error(`the environment variable ${name} is missing`);
    values.set(name, value);
    return [];
  },
  LABEL: (rest) => pairs(rest).flatMap((pair) => ['--config.label', pair]),
  ENV: (rest) => pairs(rest).flatMap((pair) => ['--config.env', pair]),
  WORKDIR: (rest) => ['--config.workingdir', rest],
  ENTRYPOINT: (rest) => (JSON.parse(rest) as string[]).flatMap((word) => ['--config.entrypoint', word]),
  COPY: () => [],
};

/** `a="b c" d=$E` as `a=b c` and `d=` with the value of E. */
function pairs(text: string): string[] {
  return [...text.matchAll(/([\w.]+)=(?:"([^"]*)"|(\S+))/g)].map(
    ([, key, quoted, bare = '']) => `${key}=${substitute(quoted ?? bare)}`,
  );
}

function substitute(text: string): string {
  return text.replace(/\$(\w+)/g, (_, name: string) => {
    const value = values.get(name);
    if (value === undefined) throw new Error(`there is no ARG ${name}`);
    return value;
  });
}

const text = readFileSync(process.argv[2] ?? 'Dockerfile', 'utf8')
  .replace(/^#.*\n/gm, '')
  .replaceAll(/\\\n\s*/g, '');
const stages = text.split(/^FROM .*$/m);
for (const line of (stages.at(-1) ?? '').split('\n').filter(Boolean)) {
  const [, name = '', rest = ''] = /^(\S+)\s+(.*)$/.exec(line) ?? [];
  const instruction = INSTRUCTIONS[name];
  if (instruction === undefined) throw new Error(`the last stage may not have ${name || line}`);
  for (const argument of instruction(rest)) console.log(argument);
}
