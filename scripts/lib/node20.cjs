// What Helia and its HTTP client want of Node and Node 20 lacks; loaded with `node -r`. On a newer Node nothing changes.
'use strict';
const zlib = require('node:zlib');

const none = () => { throw new Error('this Node has no zstd'); };
zlib.createZstdDecompress ??= none;
zlib.createZstdCompress ??= none;
require('node:worker_threads').markAsUncloneable ??= () => {};
Promise.withResolvers ??= function withResolvers() {
  const made = {};
  made.promise = new this((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};
