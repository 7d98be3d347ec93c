/* The arrays of one call, copied to the device and back. */
#ifndef SG_TESTS_CUDA_STAGE_H
#define SG_TESTS_CUDA_STAGE_H

#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <vector>

#include "device.h"

/* First every array is named (in, out: the pointer itself is rewritten by begin), then begin() copies; the end of scope
 * copies back. Arrays that overlap on the host (columns of one matrix) share device memory in the same way. */
class stage
{
  public:
    template <typename T> void in(const T *&at, int64_t n)
    {
        add(reinterpret_cast<void **>(const_cast<T **>(&at)), n * (int64_t)sizeof(T), false);
    }

    template <typename T> void out(T *&at, int64_t n)
    {
        add(reinterpret_cast<void **>(&at), n * (int64_t)sizeof(T), true);
    }

    /* Device memory of its own that nobody wrote. */
    void scratch(void *&at, size_t bytes)
    {
        scratch_ = sg_cuda_alloc(bytes ? bytes : 1);
        at = scratch_;
    }

    void begin()
    {
        std::sort(items_.begin(), items_.end(), [](const item &x, const item &y) { return x.host < y.host; });
        for (const item &i : items_) {
            if (regions_.empty() || i.host >= regions_.back().host + regions_.back().bytes)
                regions_.push_back(region{i.host, nullptr, 0, false});
            region &r = regions_.back();
            r.bytes = std::max<int64_t>(r.bytes, i.host + i.bytes - r.host);
            r.back = r.back || i.back;
        }
        for (region &r : regions_) {
            r.device = static_cast<char *>(sg_cuda_alloc((size_t)r.bytes));
            sg_cuda_upload(r.device, r.host, (size_t)r.bytes);
        }
        for (const item &i : items_)
            for (const region &r : regions_)
                if (i.host >= r.host && i.host < r.host + r.bytes)
                    *i.pointer = r.device + (i.host - r.host);
    }

    ~stage()
    {
        check();
        for (region &r : regions_) {
            if (r.back)
                sg_cuda_download(r.host, r.device, (size_t)r.bytes);
            sg_cuda_free(r.device);
        }
        sg_cuda_free(scratch_);
        check();
    }

  private:
    struct item {
        void **pointer;
        char *host;
        int64_t bytes;
        bool back;
    };
    struct region {
        char *host, *device;
        int64_t bytes;
        bool back;
    };

    void add(void **pointer, int64_t bytes, bool back)
    {
        if (*pointer && bytes > 0)
            items_.push_back(item{pointer, static_cast<char *>(*pointer), bytes, back});
    }

    static void check()
    {
        if (sg_cuda_sync() != SG_OK) {
            fprintf(stderr, "%s\n", sg_error_text());
            abort();
        }
    }

    std::vector<item> items_;
    std::vector<region> regions_;
    void *scratch_ = nullptr;
};

#endif
