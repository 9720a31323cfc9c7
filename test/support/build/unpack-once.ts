import { unpackIntoOneOf } from '../../../cli/unpack.ts';

// Unpacks stdin in a process of its own and prints the path. Usage: unpack-once.ts <build> <folder>…

const [build = '', ...folders] = process.argv.slice(2);
const chunks: Buffer[] = [];
for await (const chunk of process.stdin) chunks.push(chunk);
process.stdout.write(unpackIntoOneOf(folders, build, Buffer.concat(chunks)));
